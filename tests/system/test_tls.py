"""The door: TLS as it is offered, seen by the standard library, OpenSSL's own client and curl."""
import datetime
import json
import shutil
import socket
import ssl
import subprocess
import urllib.parse

import pytest

import wire
from certificates import device_root, issue, new_key, operator_root


def address(platform):
    url = urllib.parse.urlparse(platform.info["api"])
    return f"{url.hostname}:{url.port}"


def s_client(platform, *options, content=b""):
    done = subprocess.run(["openssl", "s_client", "-connect", address(platform), "-CAfile", platform.info["caCertificate"],
                           *options], input=content, capture_output=True, timeout=20)
    return done.returncode, done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def test_tls_1_3_is_spoken_and_the_certificate_verifies(platform):
    code, text = s_client(platform, "-verify_return_error", "-verify_ip", "127.0.0.1")
    assert code == 0 and "TLSv1.3" in text and "Verify return code: 0 (ok)" in text, text


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1", "-tls1_2"])
def test_older_versions_are_refused(platform, version):
    code, text = s_client(platform, version, "-cipher", "DEFAULT@SECLEVEL=0")
    assert code != 0 and "alert" in text.lower() and "protocol version" in text.lower(), text


def test_another_name_than_the_certificates_does_not_verify(platform):
    code, text = s_client(platform, "-verify_return_error", "-verify_hostname", "elsewhere.example")
    assert code != 0 and "hostname mismatch" in text.lower(), text


def test_the_server_certificate_is_under_the_server_root_alone(platform):
    for other in ("operator-root.pem", "device-root.pem"):
        context = ssl.create_default_context(cafile=str(platform.directory / "ca" / other))
        with pytest.raises(ssl.SSLCertVerificationError):
            wire.connect(platform, context=context)


@pytest.mark.parametrize("offered, chosen", [(["http/1.1"], "http/1.1"), (["h2", "http/1.1"], "http/1.1"), (None, None)])
def test_alpn_chooses_http_1_1(platform, offered, chosen):
    context = ssl.create_default_context(cafile=platform.info["caCertificate"])
    if offered:
        context.set_alpn_protocols(offered)
    with wire.connect(platform, context=context) as connection:
        assert connection.selected_alpn_protocol() == chosen
        connection.sendall(wire.head("GET", "/openapi.json"))
        assert wire.read_answer(connection).status == 200


def test_plain_http_on_the_tls_port_is_no_http(platform):
    import socket
    url = urllib.parse.urlparse(platform.info["api"])
    with socket.create_connection((url.hostname, url.port), timeout=10) as plain:
        plain.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            assert not plain.recv(100).startswith(b"HTTP")
        except ConnectionResetError:
            pass


def test_openssl_speaks_with_a_client_certificate(platform):
    crm = platform.info["clients"]["crm"]
    request = b"GET /v1/vehicles?limit=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    code, text = s_client(platform, "-quiet", "-ign_eof", "-cert", crm["certificate"], "-key", crm["key"], content=request)
    assert "HTTP/1.1 200" in text and '"vehicles"' in text, text


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_served(platform, demo_vehicle):
    crm, vin = platform.info["clients"]["crm"], demo_vehicle[0]
    body = json.dumps({"vin": vin, "purpose": "customer-service"})
    done = subprocess.run(["curl", "-sS", "--cacert", platform.info["caCertificate"], "--cert", crm["certificate"], "--key",
                           crm["key"], "-H", "Content-Type: application/json", "--data-binary", "@-", "-w", "\n%{http_code}",
                           platform.info["api"] + "/v1/reference-ids/lookup"], input=body, capture_output=True, text=True,
                          timeout=20)
    answer, status = done.stdout.rsplit("\n", 1)
    assert (status, json.loads(answer)) == ("200", {"referenceId": demo_vehicle[2]["referenceId"]}), done


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_uploads_with_expect_100_continue_and_chunks(platform, new_device, tmp_path):
    factory, manifest = platform.info["clients"]["factory"], tmp_path / "manifest.ndjson"
    manifest.write_text("".join(json.dumps({"deviceId": new_device()}) + "\n" for _ in range(20000)))
    for extra, field in ((["-H", "Expect: 100-continue"], "accepted"), (["-H", "Transfer-Encoding: chunked"], "duplicates")):
        done = subprocess.run(["curl", "-sS", "--cacert", platform.info["caCertificate"], "--cert", factory["certificate"],
                               "--key", factory["key"], "-H", "Content-Type: application/x-ndjson", *extra, "--data-binary",
                               f"@{manifest}", platform.info["api"] + "/v1/devices"], capture_output=True, text=True,
                              timeout=60)
        assert json.loads(done.stdout)[field] == 20000, done


# ---- certificates that are none of ours: an alert, not an answer ---------------------------------------


def refused_with(platform, paths):
    """The TLS alert's name. With TLS 1.3 it comes after the client's own handshake: with the first read."""
    try:
        with wire.connect(platform, paths=paths) as connection:
            connection.sendall(wire.head("GET", "/v1/vehicles"))
            return wire.read_answer(connection)
    except ssl.SSLError as error:
        return error.reason


def test_an_expired_certificate_gets_an_alert(platform, tmp_path):
    certificate, key, _ = issue(tmp_path, "expired", operator_root(platform), days=(-30, -1))
    assert refused_with(platform, (certificate, key)) == "SSLV3_ALERT_CERTIFICATE_EXPIRED"


def test_a_certificate_that_is_not_yet_valid_gets_an_alert(platform, tmp_path):
    certificate, key, _ = issue(tmp_path, "early", operator_root(platform), days=(1, 30))
    assert "ALERT" in refused_with(platform, (certificate, key))


def test_a_self_signed_certificate_gets_an_alert(platform, tmp_path):
    certificate, key, _ = issue(tmp_path, "self")
    assert "ALERT" in refused_with(platform, (certificate, key))


def test_a_foreign_root_of_the_same_name_gets_an_alert(platform, tmp_path):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    import certificates
    ours = x509.load_pem_x509_certificate((platform.directory / "ca/operator-root.pem").read_bytes())
    root_key, now, day = new_key(), datetime.datetime.utcnow(), datetime.timedelta(days=1)
    root = (x509.CertificateBuilder().subject_name(ours.subject).issuer_name(ours.subject).public_key(root_key.public_key())
            .serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(True, None), True)
            .add_extension(ours.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value, False).sign(root_key, hashes.SHA256()))
    (tmp_path / "root.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "root.key").write_text(certificates.key_pem(root_key))
    certificate, key, _ = issue(tmp_path, "forged", (tmp_path / "root.pem", tmp_path / "root.key"))
    assert "ALERT" in refused_with(platform, (certificate, key))


def test_a_device_certificate_comes_in_but_is_no_client(platform, demo_vehicle, tmp_path):
    credentials = demo_vehicle[2]["credentials"]
    (tmp_path / "device.pem").write_text(credentials["certificate"] + credentials["chain"])
    (tmp_path / "device.key").write_text(credentials["privateKey"])
    assert refused_with(platform, (str(tmp_path / "device.pem"), str(tmp_path / "device.key"))).status == 401
    certificate, key, _ = issue(tmp_path, "by-device-root", device_root(platform))
    assert refused_with(platform, (certificate, key)).status == 401


def test_an_expired_device_certificate_gets_an_alert(platform, tmp_path):
    certificate, key, _ = issue(tmp_path, "by-device-root", device_root(platform), days=(-30, -1))
    assert "ALERT" in refused_with(platform, (certificate, key))


def test_a_resumed_session_is_of_the_same_authority(platform, demo_vehicle, tmp_path):
    """What a ticket brings back is no client, as it was none before; and an operator's stays a client."""
    credentials = demo_vehicle[2]["credentials"]
    (tmp_path / "device.pem").write_text(credentials["certificate"])
    (tmp_path / "device.key").write_text(credentials["privateKey"])
    crm = platform.info["clients"]["crm"]
    for paths, status in (((tmp_path / "device.pem", tmp_path / "device.key"), 401), ((crm["certificate"], crm["key"]), 200)):
        context = ssl.create_default_context(cafile=platform.info["caCertificate"])
        context.load_cert_chain(*paths)
        session = None
        for resumed in (False, True, True):
            plain = socket.create_connection(tuple(address(platform).split(":")), timeout=20)
            with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as connection:
                connection.sendall(wire.head("GET", "/v1/vehicles"))
                assert wire.read_answer(connection).status == status
                assert connection.session_reused == resumed
                session = connection.session


def test_a_server_certificate_is_no_client_certificate(platform):
    tls = platform.directory / "tls"
    assert "ALERT" in refused_with(platform, (str(tls / "server.pem"), str(tls / "server.key")))


def test_a_certificate_for_another_use_gets_an_alert(platform, tmp_path):
    from cryptography.x509 import ExtendedKeyUsageOID
    certificate, key, _ = issue(tmp_path, "server-use", operator_root(platform), usages=(ExtendedKeyUsageOID.SERVER_AUTH,))
    assert "ALERT" in refused_with(platform, (certificate, key))


def test_a_registered_certificate_under_the_root_is_let_in(platform):
    crm = platform.info["clients"]["crm"]
    assert refused_with(platform, (crm["certificate"], crm["key"])).status == 200
