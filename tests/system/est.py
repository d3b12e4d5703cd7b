"""EST as a device speaks it: requests by curl, certificates by OpenSSL's command line, claims and what they need."""
import base64
import pathlib
import re
import secrets
import subprocess

from certificates import issue
from installation import Answer

PATH = "/.well-known/est/"
PKCS10 = {"Content-Type": "application/pkcs10"}


def device_issuer(platform):
    return platform.directory / "ca/device-issuer.pem", platform.directory / "keyd/device-issuer.key"


def openssl(*arguments, content=None):
    done = subprocess.run(["openssl", *map(str, arguments)], input=content, capture_output=True, timeout=60)
    assert done.returncode == 0, (arguments, done.stderr)
    return done.stdout


def new_key(directory, name):
    path = pathlib.Path(directory) / f"{name}.key"
    openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
    return path


def make_csr(key, common_name, *options, form="DER"):
    """A PKCS #10 request in DER."""
    return openssl("req", "-new", "-key", key, "-subj", f"/CN={common_name}", "-outform", form, *options)


def renewal_csr(key, reference_id, name=None, uri=None):
    """A request that names what the vehicle's certificate names, or something else."""
    alternative = f"URI:urn:uuid:{reference_id}" if uri is None else uri
    options = ["-addext", f"subjectAltName={alternative}"] if alternative else []
    return make_csr(key, name or reference_id, *options)


def ask(platform, operation, body=None, paths=None, headers=None, arguments=()):
    """curl: one exchange as (certificate, key), or nobody."""
    command = ["curl", "-sS", "-i", "--http1.1", "--cacert", platform.info["caCertificate"], "-m", "30", *arguments]
    if paths:
        command += ["--cert", str(paths[0]), "--key", str(paths[1])]
    for name, value in (PKCS10 if headers is None and body is not None else headers or {}).items():
        command += ["-H", f"{name}: {value}"]
    if body is not None:
        command += ["-H", "Expect:", "--data-binary", "@-"]
    done = subprocess.run([*command, platform.info["api"] + PATH + operation], input=body, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    head, content = done.stdout.split(b"\r\n\r\n", 1)
    status, *lines = head.decode().split("\r\n")
    answer = Answer(int(status.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, content)
    answer.head_size = len(head) + 4
    return answer


def enroll(platform, csr, paths, **options):
    return ask(platform, "simpleenroll", base64.encodebytes(csr), paths, **options)


def renew(platform, csr, paths, **options):
    return ask(platform, "simplereenroll", base64.encodebytes(csr), paths, **options)


def certificates_in(answer):
    """The PEM certificates of a certs-only answer, as OpenSSL reads them."""
    assert answer.status == 200, answer
    assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert answer.headers["content-transfer-encoding"] == "base64"
    assert int(answer.headers["content-length"]) == len(answer.body) and "transfer-encoding" not in answer.headers
    assert answer.head_size < 1024 and answer.head_size + len(answer.body) < 16384
    der = openssl("base64", "-d", "-A", content=answer.body)
    assert b"Certificate" not in openssl("asn1parse", "-inform", "DER", content=der)
    text = openssl("pkcs7", "-inform", "DER", "-print_certs", content=der).decode()
    return re.findall(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n", text, re.S)


def save_certificate(directory, name, answer):
    """The one certificate of an answer, in a file."""
    (certificate,) = certificates_in(answer)
    path = pathlib.Path(directory) / f"{name}.pem"
    path.write_text(certificate)
    return path


def new_claim(platform, directory, name, count=100, client="admin"):
    """A claim certificate of the device issuer, known to the platform: (certificate, key)."""
    certificate, key, _ = issue(directory, name, device_issuer(platform), serial=secrets.randbits(126) | 1 << 126)
    answer = platform.client(client).post("/v1/claims", {"name": name, "count": count,
                                                         "certificate": pathlib.Path(certificate).read_text()})
    assert answer.status == 201, answer
    return certificate, key


def fingerprint(certificate):
    """What a client is registered by."""
    said = openssl("x509", "-in", certificate, "-noout", "-fingerprint", "-sha256").decode()
    return said.strip().split("=")[1].replace(":", "").lower()


def save_credentials(directory, name, credentials):
    """What provisioning has answered with, in files: (certificate, key)."""
    paths = pathlib.Path(directory) / f"{name}.pem", pathlib.Path(directory) / f"{name}.key"
    paths[0].write_text(credentials["certificate"])
    paths[1].write_text(credentials["privateKey"])
    return paths


def vehicle_with_new_device(platform, vin, devices):
    """A vehicle whose TCU was changed: its new device has no certificate yet. (Reference ID, device ID)."""
    old, new = devices
    platform.load_devices(new)
    reference_id = platform.provision(vin, old).json["referenceId"]
    answer = platform.client("service-center").post(
        "/v1/tcu-changes", {"referenceId": reference_id, "deviceId": old, "newDeviceId": new})
    assert answer.status == 200, answer
    return reference_id, new
