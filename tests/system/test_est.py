"""EST (RFC 7030), spoken by clients that nobody here wrote: curl with OpenSSL, and strongSwan's pki."""
import base64
import os
import signal
import subprocess
import uuid

import pytest

import est
import faults
import installation
import leak
import wire
from cryptography.x509 import ExtendedKeyUsageOID

from certificates import device_root, issue, weak_csr
from est import (ask, certificates_in, enroll, make_csr, new_claim, openssl, renew, renewal_csr, save_certificate,
                 save_credentials)
from test_openapi import check_answer

DAY_MS = 24 * 3600 * 1000


@pytest.fixture(scope="module")
def claim(platform, tmp_path_factory):
    return new_claim(platform, tmp_path_factory.mktemp("claim"), "est-tests", 1000)


@pytest.fixture
def vehicle(platform, new_vin, new_device):
    """(Reference ID, device ID) of one whose device has no certificate."""
    return est.vehicle_with_new_device(platform, new_vin(), (new_device(), new_device()))


@pytest.fixture
def device(platform, demo_vehicle, tmp_path):
    """A device with its first certificate: (Reference ID, (certificate, key))."""
    return demo_vehicle[2]["referenceId"], save_credentials(tmp_path, "device", demo_vehicle[2]["credentials"])


def refused(answer, status, problem):
    assert (answer.status, answer.problem) == (status, problem), answer
    assert answer.headers["content-type"] == "application/problem+json" and answer.json["status"] == status
    return answer


def names_of(certificate):
    return openssl("x509", "-in", certificate, "-noout", "-subject", "-ext", "subjectAltName", "-nameopt", "RFC2253").decode()


# ---- cacerts --------------------------------------------------------------------------------------------


def test_cacerts_gives_everybody_the_device_authority(platform, claim, device, tmp_path):
    paths = platform.info["clients"]["crm"]
    for caller in (None, claim, device[1], (paths["certificate"], paths["key"])):
        issuer, root = certificates_in(ask(platform, "cacerts", paths=caller))
        assert issuer == (platform.directory / "ca/device-issuer.pem").read_text()
        assert root == (platform.directory / "ca/device-root.pem").read_text()


@pytest.mark.parametrize("path", ["", "label/cacerts", "label/simpleenroll", "csrattrs", "serverkeygen", "fullcmc", "cacerts/"])
def test_what_is_not_offered_is_not_found(platform, claim, path):
    refused(ask(platform, path, paths=claim), 404, "not-found")


def test_methods(platform, claim):
    assert refused(ask(platform, "cacerts", b""), 405, "method-not-allowed").headers["allow"] == "GET, HEAD"
    assert refused(ask(platform, "simpleenroll", paths=claim), 405, "method-not-allowed").headers["allow"] == "POST"


# ---- simpleenroll ---------------------------------------------------------------------------------------


def test_a_claim_fetches_the_devices_first_certificate(platform, claim, vehicle, tmp_path):
    reference_id, device_id = vehicle
    key = est.new_key(tmp_path, "tcu")
    certificate = save_certificate(tmp_path, "tcu", enroll(platform, make_csr(key, device_id), claim))
    assert f"CN={reference_id}" in names_of(certificate) and f"URI:urn:uuid:{reference_id}" in names_of(certificate)
    root, issuer = platform.directory / "ca/device-root.pem", platform.directory / "ca/device-issuer.pem"
    openssl("verify", "-purpose", "sslclient", "-CAfile", root, "-untrusted", issuer, certificate)
    assert openssl("x509", "-in", certificate, "-noout", "-pubkey") == openssl("pkey", "-in", key, "-pubout")
    serial = openssl("x509", "-in", certificate, "-noout", "-serial").decode().strip().removeprefix("serial=").lower()
    entry = platform.client("factory").get(f"/v1/vehicles/{reference_id}/history").json["entries"][0]
    assert (entry["event"], entry["actor"], entry["serialNumber"]) == ("certificate-issued", "claim:est-tests", serial)


def test_the_claim_that_dev_makes_enrolls_too(platform, vehicle, tmp_path):
    mqtt = platform.info["mqtt"]
    csr = make_csr(est.new_key(tmp_path, "tcu"), vehicle[1])
    assert enroll(platform, csr, (mqtt["claimCertificate"], mqtt["claimKey"])).status == 200


def test_every_attempt_of_a_claim_has_its_leaf(platform, claim, vehicle, tmp_path):
    reference_id, device_id = vehicle
    csr, unknown = make_csr(est.new_key(tmp_path, "tcu"), device_id), make_csr(est.new_key(tmp_path, "no"), "NO-SUCH-TCU")
    ids = [enroll(platform, request, claim).headers["request-id"] for request in (csr, unknown, csr, b"junk")]
    entries = platform.client("auditor").get("/v1/audit/entries?actor=claim:est-tests&limit=50").json["entries"]
    told = {entry["requestId"]: entry for entry in entries}
    assert [told[id]["outcome"] for id in ids] == ["allowed", "absent", "allowed", "refused"]
    assert all(told[id]["action"] == "est.enroll" and told[id]["tenantId"] == "demo" for id in ids)
    assert told[ids[0]]["referenceId"] == reference_id and told[ids[0]]["deviceId"] == device_id
    assert "deviceId" not in told[ids[1]], "what a stranger calls a device may be anything"
    # Asked again for the same key: the certificate before is superseded.
    assert told[ids[2]]["revokedSerialNumbers"] == [told[ids[0]]["serialNumber"]]


def test_one_certificate_at_a_time(platform, claim, vehicle, tmp_path):
    _, device_id = vehicle
    assert enroll(platform, make_csr(est.new_key(tmp_path, "one"), device_id), claim).status == 200
    refused(enroll(platform, make_csr(est.new_key(tmp_path, "two"), device_id), claim), 409, "vehicle-has-certificate")


def test_only_a_claim_enrolls(platform, device, vehicle, tmp_path):
    csr = make_csr(est.new_key(tmp_path, "tcu"), vehicle[1])
    operator = platform.info["clients"]["admin"]
    unregistered = issue(tmp_path, "unregistered", est.device_issuer(platform))[:2]
    by_root = issue(tmp_path, "by-root", device_root(platform))[:2]
    for caller in (None, (operator["certificate"], operator["key"]), device[1], unregistered, by_root):
        refused(enroll(platform, csr, caller), 401, "unauthenticated")
    for paths in (issue(tmp_path, "foreign")[:2], issue(tmp_path, "old", est.device_issuer(platform), days=(-30, -1))[:2],
                  issue(tmp_path, "aimless", est.device_issuer(platform), usages=[ExtendedKeyUsageOID.SERVER_AUTH])[:2]):
        with pytest.raises(AssertionError, match="alert"):
            enroll(platform, csr, paths)


def test_a_used_up_or_revoked_claim_is_refused(platform, new_vin, new_device, tmp_path):
    paths = new_claim(platform, tmp_path, "est-single", 1)
    vehicles = [est.vehicle_with_new_device(platform, new_vin(), (new_device(), new_device())) for _ in range(2)]
    csrs = [make_csr(est.new_key(tmp_path, device), device) for _, device in vehicles]
    assert enroll(platform, csrs[0], paths).status == 200
    answer = refused(enroll(platform, csrs[1], paths), 403, "claim-refused")
    entries = platform.client("auditor").get("/v1/audit/entries?actor=claim:est-single").json["entries"]
    assert (entries[0]["requestId"], entries[0]["outcome"]) == (answer.headers["request-id"], "refused")
    revoked = new_claim(platform, tmp_path, "est-revoked", 10)
    assert platform.client("admin").post("/v1/claims/est-revoked/revoke").status == 200
    refused(enroll(platform, csrs[1], revoked), 403, "claim-refused")


def test_devices_that_are_not_there(platform, claim, new_device, new_vin, demo_vehicle, tmp_path):
    """Unknown, in the manifest alone, another tenant's: alike."""
    loaded, foreign = new_device(), new_device()
    platform.load_devices(loaded)
    assert platform.provision(new_vin(), foreign, client="stranger").status == 201
    key = est.new_key(tmp_path, "tcu")
    told = set()
    for name in ("NO-SUCH-TCU", loaded, foreign):
        answer = refused(enroll(platform, make_csr(key, name), claim, headers={
            **est.PKCS10, "Request-Id": "7d444840-9dc0-41d1-b245-5ffdce74fad2"}), 404, "not-found")
        told.add(answer.body)
    assert len(told) == 1


@pytest.mark.parametrize("name", ["", "two words", "/CN=TCU-1/CN=TCU-2", "/O=nobody"])
def test_a_request_without_one_device_id_is_refused(platform, claim, name, tmp_path):
    key = est.new_key(tmp_path, "tcu")
    subject = name if name.startswith("/") else f"/CN={name}" if name else "/"
    (tmp_path / "config").write_text("[req]\ndistinguished_name=dn\nstring_mask=utf8only\n[dn]\n")
    done = subprocess.run(["openssl", "req", "-new", "-key", key, "-subj", subject, "-outform", "DER", "-config",
                           tmp_path / "config"], capture_output=True)
    if done.returncode != 0:
        pytest.skip("OpenSSL makes no such request")
    refused(enroll(platform, done.stdout, claim), 422, "csr-invalid")


# ---- bodies ---------------------------------------------------------------------------------------------


def test_base64_comes_in_every_form(platform, claim, new_vin, new_device, tmp_path):
    """RFC 8951: base64 whatever Content-Transfer-Encoding says, with line breaks or without."""
    forms = [(base64.b64encode, {}), (base64.encodebytes, {"Content-Transfer-Encoding": "base64"}),
             (lambda der: base64.encodebytes(der).replace(b"\n", b"\r\n"), {"Content-Transfer-Encoding": "binary"}),
             (lambda der: openssl("req", "-inform", "DER", content=der), {})]
    for number, (encode, headers) in enumerate(forms):
        _, device_id = est.vehicle_with_new_device(platform, new_vin(), (new_device(), new_device()))
        body = encode(make_csr(est.new_key(tmp_path, f"tcu{number}"), device_id))
        answer = ask(platform, "simpleenroll", body, claim, headers={**est.PKCS10, **headers})
        assert len(certificates_in(answer)) == 1, number


def test_bodies_that_are_none(platform, claim, vehicle, tmp_path):
    csr = make_csr(est.new_key(tmp_path, "tcu"), vehicle[1])
    for body in (b"", b"junk", b"AAAA", csr, base64.b64encode(csr[:-3]), base64.b64encode(csr + b"x"), weak_csr().encode(),
                 base64.b64encode(csr[:60] + bytes([csr[60] ^ 1]) + csr[61:])):
        refused(ask(platform, "simpleenroll", body, claim), 422, "csr-invalid")


@pytest.mark.parametrize("type_", ["application/json", "application/pkcs7-mime", "text/plain", "application/pkcs10x", ""])
def test_other_media_types_are_refused_with_a_leaf(platform, claim, vehicle, type_, tmp_path):
    csr = base64.b64encode(make_csr(est.new_key(tmp_path, "tcu"), vehicle[1]))
    answer = refused(ask(platform, "simpleenroll", csr, claim, headers={"Content-Type": type_}), 415, "media-type")
    entries = platform.client("auditor").get("/v1/audit/entries?actor=claim:est-tests&limit=50").json["entries"]
    assert answer.headers["request-id"] in {entry["requestId"] for entry in entries}


def test_a_large_body_is_refused_with_a_leaf(platform, claim):
    answer = refused(ask(platform, "simpleenroll", b"A" * 20000, claim), 413, "body-too-large")
    entries = platform.client("auditor").get("/v1/audit/entries?actor=claim:est-tests&limit=50").json["entries"]
    assert answer.headers["request-id"] in {entry["requestId"] for entry in entries}


# ---- simplereenroll -------------------------------------------------------------------------------------


def test_a_young_certificate_is_not_renewed(platform, device, tmp_path):
    reference_id, paths = device
    answer = refused(renew(platform, renewal_csr(paths[1], reference_id), paths), 403, "renewal-too-early")
    assert "last third" in answer.json["detail"]
    entries = platform.client("auditor").get(f"/v1/audit/entries?referenceId={reference_id}&actor=device").json["entries"]
    assert [(e["action"], e["outcome"], e["problem"]) for e in entries] == [("est.renew", "refused", "renewal-too-early")]


def test_another_subject_or_name_is_refused(platform, device, tmp_path):
    reference_id, paths = device
    other = str(uuid.uuid4())
    for csr in (renewal_csr(paths[1], reference_id, name=other), renewal_csr(paths[1], reference_id, uri=f"URI:urn:uuid:{other}"),
                renewal_csr(paths[1], reference_id, uri=""), renewal_csr(paths[1], other),
                renewal_csr(paths[1], reference_id, uri=f"URI:urn:uuid:{reference_id},DNS:a"),
                make_csr(paths[1], f"{reference_id}/O=x")):
        refused(renew(platform, csr, paths), 403, "names-differ")


def test_only_a_device_renews(platform, claim, device, tmp_path):
    reference_id, paths = device
    csr, operator = renewal_csr(paths[1], reference_id), platform.info["clients"]["admin"]
    by_issuer = issue(tmp_path, reference_id, est.device_issuer(platform))[:2]  # the right name, but issued by nobody
    for caller in (None, (operator["certificate"], operator["key"]), claim, by_issuer):
        refused(renew(platform, csr, caller), 401, "unauthenticated")


def test_a_revoked_certificate_renews_nothing(platform, demo_vehicle, device, tmp_path):
    reference_id, paths = device
    csr = renewal_csr(paths[1], reference_id)
    answer = platform.client("service-center").post(
        "/v1/tcu-changes", {"referenceId": reference_id, "deviceId": demo_vehicle[1], "newDeviceId": None})
    assert answer.status == 200
    refused(renew(platform, csr, paths), 401, "unauthenticated")
    entries = platform.client("auditor").get(f"/v1/audit/entries?referenceId={reference_id}&actor=device").json["entries"]
    assert [(entry["outcome"], entry["problem"]) for entry in entries] == [("refused", "unauthenticated")]


def test_a_suspended_vehicle_renews_nothing(platform, device):
    reference_id, paths = device
    for state, status, problem in (("suspended", 403, "renewal-too-early"), ("decommissioned", 401, "unauthenticated")):
        assert platform.client("factory").request("PATCH", f"/v1/vehicles/{reference_id}", {"state": state},
                                                  headers={"If-Match": "*"}).status == 200
        refused(renew(platform, renewal_csr(paths[1], reference_id), paths), status, problem)


def test_one_device_that_floods_is_stopped_and_no_other(platform, new_vin, new_device, tmp_path):
    devices = []
    for number in range(2):
        answer = platform.provision(new_vin(), new_device())
        devices.append((answer.json["referenceId"], save_credentials(tmp_path, f"d{number}", answer.json["credentials"])))
    (reference_id, paths), other = devices
    body = base64.b64encode(renewal_csr(paths[1], reference_id))
    content = wire.head("POST", est.PATH + "simplereenroll", est.PKCS10, len(body)) + body
    statuses = []
    with wire.connect(platform, paths=tuple(map(str, paths))) as connection:
        for _ in range(1000):  # one a second is given back meanwhile
            connection.sendall(content)
            answer = wire.read_answer(connection)
            statuses.append(answer.status)
            if answer.status == 429:
                break
    assert statuses == [403] * (len(statuses) - 1) + [429] and len(statuses) > 20
    assert int(answer.headers["retry-after"]) >= 1
    refused(renew(platform, renewal_csr(other[1][1], other[0]), other[1]), 403, "renewal-too-early")


def test_a_claim_is_limited_as_clients_are(own_platform, tmp_path):
    platform = own_platform("--rate-limit", "3")
    claim, other = new_claim(platform, tmp_path, "est-fast"), new_claim(platform, tmp_path, "est-slow")
    content = wire.head("POST", est.PATH + "simpleenroll", est.PKCS10, 4) + b"junk"
    with wire.connect(platform, paths=tuple(map(str, claim))) as connection:
        for _ in range(1000):  # three a second are given back meanwhile
            connection.sendall(content)
            answer = wire.read_answer(connection)
            if answer.status == 429:
                break
            refused(answer, 422, "csr-invalid")
    refused(answer, 429, "rate-limited")
    check_answer("POST", est.PATH + "simpleenroll", answer)
    refused(ask(platform, "simpleenroll", b"junk", other), 422, "csr-invalid")


# ---- faults ---------------------------------------------------------------------------------------------


def test_without_the_key_daemon_nothing_is_enrolled_and_then_it_goes_on(own_platform, new_vin, new_device, tmp_path):
    platform = own_platform()
    claim = new_claim(platform, tmp_path, "est-fault")
    _, device_id = est.vehicle_with_new_device(platform, new_vin(), (new_device(), new_device()))
    csr = make_csr(est.new_key(tmp_path, "tcu"), device_id)
    keyd = platform.freeze("vinveil-keyd")
    try:
        answer = refused(enroll(platform, csr, claim), 503, "unavailable")
        check_answer("POST", est.PATH + "simpleenroll", answer)
        assert int(answer.headers["retry-after"]) >= 1
    finally:
        os.kill(keyd, signal.SIGCONT)
    assert installation.patiently(lambda: enroll(platform, csr, claim)).status == 200


def test_without_the_device_root_nobody_enrolls(own_platform, new_vin, new_device, tmp_path):
    """An installation made before there was EST: its configuration does not name the device root."""
    platform = own_platform()
    claim = new_claim(platform, tmp_path, "est-none")
    configuration = platform.directory / "vinveild.conf"
    lines = [line for line in configuration.read_text().splitlines() if not line.startswith("device_")]
    configuration.write_text("\n".join(lines) + "\n")
    pid = platform.kill("vinveild", signal.SIGTERM)
    platform.wait_restarted("vinveild", pid)
    for operation in ("simpleenroll", "simplereenroll"):
        refused(ask(platform, operation, b"junk"), 404, "not-found")
    assert len(certificates_in(ask(platform, "cacerts"))) == 2
    with pytest.raises(AssertionError, match="alert"):
        ask(platform, "simpleenroll", b"junk", claim)


# ---- what a request names is left nowhere -----------------------------------------------------------------


@pytest.mark.plain
def test_a_vin_in_a_request_is_left_nowhere(own_platform, new_vin, new_device, tmp_path):
    """Nobody asks a device for its VIN, but one may say it all the same, in a name that counts or in one that does not."""
    platform, vin = own_platform(), installation.VINS[0][0]
    claim = new_claim(platform, tmp_path, "est-leak")
    _, device_id = est.vehicle_with_new_device(platform, new_vin(), (new_device(), new_device()))
    key = est.new_key(tmp_path, "tcu")
    issued = make_csr(key, device_id, "-addext", f"subjectAltName=DNS:{vin}")
    certificate = save_certificate(tmp_path, "tcu", enroll(platform, issued, claim))
    for csr in (make_csr(key, vin), make_csr(key, f"{device_id}/O={vin}"), issued):
        body = base64.b64encode(csr)
        for content, headers in ((body, {}), (body + b"!", {}), (body + b"A" * 20000, {}), (body, {"Content-Type": "x/y"})):
            for operation, paths in (("simpleenroll", claim), ("simplereenroll", (certificate, key))):
                assert ask(platform, operation, content, paths, headers={**est.PKCS10, **headers}).status != 500
    forms, processes = leak.needles([vin]), platform.read_info()["processes"]

    def search():
        hits = []
        for name in ("vinveild", "vinveil-keyd"):
            found, size = leak.search_memory(processes[name], forms)
            hits += [(name, hit) for hit in found]
            assert size > 1 << 20
        return hits
    assert leak.what_stays(search) == []
    assert leak.search_files([platform.directory, platform.log_path], forms)[0] == []


# ---- in the last third of its life ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    return faults.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def old_device(own_platform, shim, new_vin, new_device, tmp_path):
    """A platform whose clock can be moved, and a device with a claim's certificate, 61 of its 90 days old."""
    switch = faults.Switch(shim, tmp_path / "faults")
    platform = own_platform(environment=switch.environment)
    claim = new_claim(platform, tmp_path, "est-old", 100)
    reference_id, device_id = est.vehicle_with_new_device(platform, new_vin(), (new_device(), new_device()))
    key = est.new_key(tmp_path, "old")
    certificate = save_certificate(tmp_path, "old", enroll(platform, make_csr(key, device_id), claim))
    switch.set(clock_offset_ms=59 * DAY_MS)
    refused(renew(platform, renewal_csr(key, reference_id), (certificate, key)), 403, "renewal-too-early")
    switch.set(clock_offset_ms=61 * DAY_MS)
    return platform, switch, reference_id, (certificate, key)


@pytest.mark.plain
def test_a_device_renews_in_the_last_third(old_device, tmp_path):
    platform, switch, reference_id, old = old_device
    refused(renew(platform, renewal_csr(old[1], reference_id, name=str(uuid.uuid4())), old), 403, "names-differ")
    key = est.new_key(tmp_path, "new")
    csr = renewal_csr(key, reference_id)
    new = save_certificate(tmp_path, "new", renew(platform, csr, old)), key
    assert names_of(new[0]) == names_of(old[0])
    third = renewal_csr(est.new_key(tmp_path, "third"), reference_id)
    check_answer("POST", est.PATH + "simplereenroll", refused(renew(platform, third, old), 409, "certificate-limit"))
    # The answer was lost, and the device asks again: the certificate that it never saw goes.
    answer = renew(platform, csr, old)
    check_answer("POST", est.PATH + "simplereenroll", answer)
    again = save_certificate(tmp_path, "again", answer), key
    refused(renew(platform, csr, new), 401, "unauthenticated")
    refused(renew(platform, csr, again), 403, "renewal-too-early")
    entries = platform.client("factory").get(f"/v1/vehicles/{reference_id}/history").json["entries"]
    told = [(entry["event"], entry["actor"]) for entry in entries[:3]]
    assert sorted(told) == [("certificate-issued", "device")] * 2 + [("certificate-revoked", "device")]
    # Both live to their ends; the old one's is a TLS alert.
    switch.set(clock_offset_ms=91 * DAY_MS)
    with pytest.raises(AssertionError, match="expired"):
        renew(platform, third, old)
    refused(renew(platform, csr, again), 403, "renewal-too-early")


@pytest.mark.plain
def test_the_last_third_changes_nothing_about_refusals(old_device, tmp_path):
    platform, _, reference_id, paths = old_device
    csr = renewal_csr(paths[1], reference_id)
    path, match = f"/v1/vehicles/{reference_id}", {"If-Match": "*"}
    for state, status, problem in (("suspended", 409, "vehicle-not-provisionable"), ("provisioned", 200, None)):
        assert platform.client("factory").request("PATCH", path, {"state": state}, headers=match).status == 200
        answer = renew(platform, csr, paths)
        assert answer.status == status and (problem is None or answer.problem == problem), answer


# ---- strongSwan -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """strongSwan's pki, which speaks TLS 1.3 when it is told to."""
    configuration = tmp_path_factory.mktemp("strongswan") / "strongswan.conf"
    configuration.write_text("pki {\n  tls {\n    version_max = 1.3\n  }\n}\n")

    def run(*arguments, environment=None, content=None):
        done = subprocess.run(["pki", *map(str, arguments)], input=content, capture_output=True, timeout=60,
                              env={**(environment or os.environ), "STRONGSWAN_CONF": str(configuration)})
        said = "\n".join(line for line in done.stderr.decode(errors="replace").splitlines() if not line.startswith("plugin"))
        return done.returncode, done.stdout, said

    return run


def test_strongswan_reads_cacerts(platform, pki, tmp_path):
    code, _, said = pki("--estca", "--url", platform.info["api"], "--cacert", platform.info["caCertificate"],
                        "--caout", tmp_path / "ca.pem", "--outform", "pem")
    assert code == 0, said
    found = {path.read_bytes() for path in tmp_path.glob("ca*.pem")}
    assert found == {(platform.directory / f"ca/device-{name}.pem").read_bytes() for name in ("root", "issuer")}, said


@pytest.mark.plain
def test_strongswan_renews_with_a_request_of_its_own(old_device, pki, tmp_path):
    platform, switch, reference_id, (certificate, key) = old_device
    new = est.new_key(tmp_path, "swan")
    uri = f"urn:uuid:{reference_id}".encode()
    name = "asn1gn:#" + (bytes([0x86, len(uri)]) + uri).hex()  # a URI, which pki has no word for
    code, csr, said = pki("--req", "--type", "ecdsa", "--in", new, "--dn", f"CN={reference_id}", "--san", name)
    assert code == 0, said
    roots = [f"--cacert={path}" for path in (platform.info["caCertificate"], platform.directory / "ca/device-root.pem",
                                              platform.directory / "ca/device-issuer.pem")]
    code, renewed, said = pki("--est", "--url", platform.info["api"], *roots, "--cert", certificate, "--key", key,
                              "--outform", "pem", content=csr, environment=switch.environment)
    assert code == 0, said
    (tmp_path / "swan.pem").write_bytes(renewed)
    assert names_of(tmp_path / "swan.pem") == names_of(certificate)
    assert openssl("x509", "-in", tmp_path / "swan.pem", "-noout", "-pubkey") == openssl("pkey", "-in", new, "-pubout")
