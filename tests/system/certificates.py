"""Certificates and requests for certificates, made by the tests themselves: right ones and wrong ones."""
import datetime
import hashlib
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key):
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()


def spki_sha256(key):
    """What a manifest pins: the hex SHA-256 of the DER SubjectPublicKeyInfo."""
    return hashlib.sha256(key.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def make_csr(key=None, subject=(), encoding=PEM):
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(list(subject)))
    done = builder.sign(key or new_key(), hashes.SHA256()).public_bytes(encoding)
    return done.decode() if encoding == PEM else done


def weak_csr():
    return make_csr(rsa.generate_private_key(65537, 1024))


def issue(directory, name, issuer=None, days=(-1, 30), usages=(x509.ExtendedKeyUsageOID.CLIENT_AUTH,), serial=None):
    """A client certificate under `issuer` (certificate path, key path), or self-signed. (certificate, key, fingerprint)."""
    key, now = new_key(), datetime.datetime.utcnow()
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer_name, issuer_key = subject, key
    key_identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    if issuer is not None:
        root = x509.load_pem_x509_certificate(pathlib.Path(issuer[0]).read_bytes())
        issuer_name = root.subject
        key_identifier = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
            root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value)
        issuer_key = serialization.load_pem_private_key(pathlib.Path(issuer[1]).read_bytes(), None)
    certificate = (x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name).public_key(key.public_key())
                   .serial_number(serial or x509.random_serial_number())
                   .not_valid_before(now + datetime.timedelta(days=days[0]))
                   .not_valid_after(now + datetime.timedelta(days=days[1]))
                   .add_extension(x509.BasicConstraints(False, None), True)
                   .add_extension(x509.KeyUsage(True, *[False] * 8), True)
                   .add_extension(x509.ExtendedKeyUsage(list(usages)), False)
                   .add_extension(key_identifier, False)
                   .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
                   .sign(issuer_key, hashes.SHA256()))
    paths = pathlib.Path(directory) / f"{name}.pem", pathlib.Path(directory) / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(PEM))
    paths[1].write_text(key_pem(key))
    return str(paths[0]), str(paths[1]), certificate.fingerprint(hashes.SHA256()).hex()


def operator_root(platform):
    return platform.directory / "ca/operator-root.pem", platform.directory / "roots/operator-root.key"


def device_issuer(platform):
    return platform.directory / "ca/device-issuer.pem", platform.directory / "keyd/device-issuer.key"


def claim_certificate(platform, directory, name):
    """PEM of a certificate of the claim profile, which nobody has registered yet."""
    return pathlib.Path(issue(directory, name, device_issuer(platform), serial=x509.random_serial_number() >> 40)[0]).read_text()


def device_root(platform):
    return platform.directory / "ca/device-root.pem", platform.directory / "roots/device-root.key"


def add_client(platform, directory, name, scopes, purposes=("customer-service", "legal-request"), by="admin", **members):
    """A client registered over the API, with a certificate of its own: an open `Client`."""
    from installation import Client
    certificate, key, fingerprint = issue(directory, name, operator_root(platform))
    answer = platform.client(by).post("/v1/clients", {"clientId": name, "scopes": list(scopes), "purposes": list(purposes),
                                                      "fingerprints": [fingerprint], **members})
    assert answer.status == 201, answer
    return Client(platform, certificate, key)
