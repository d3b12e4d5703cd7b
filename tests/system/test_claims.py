"""Claims from the operator's side: made beside keyd, registered through the API, listed, revoked."""
import json
import os
import subprocess
import time

from certificates import claim_certificate, issue, operator_root
from installation import PROGRAMS


def add(platform, name, *options, **keywords):
    return platform.cli("claim", "add", name, "--count", "3", *options, **keywords)


def openssl(*arguments):
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)


def crl_text(platform):
    crl = platform.operations("/crl/device.crl").body
    return subprocess.run(["openssl", "crl", "-inform", "DER", "-noout", "-text"], input=crl, capture_output=True,
                          check=True).stdout.decode()


def test_a_claim_is_made_listed_and_revoked(platform):
    claims = platform.directory / "claims"
    made = json.loads(add(platform, "line-1", "--days", "30", "--json").stdout)
    assert (made["name"], made["tenantId"], made["state"], made["count"], made["used"]) == ("line-1", "demo", "active", 3, 0)
    assert os.stat(claims / "line-1.key").st_mode & 0o777 == 0o600

    # Verified by software that nobody here wrote, against the device root.
    chain = platform.directory / "claims/line-1.pem"
    verified = openssl("verify", "-purpose", "sslclient", "-CAfile", platform.directory / "ca/device-root.pem", "-untrusted", chain,
                       chain)
    assert verified.returncode == 0, verified.stderr
    text = openssl("x509", "-in", chain, "-noout", "-text").stdout
    assert "Subject: CN = line-1\n" in text and "Subject Alternative Name" not in text and "CA:FALSE" in text
    assert made["serialNumber"] in text.replace(":", "")

    listed = platform.cli("claim", "list").stdout
    assert "line-1" in listed and "active" in listed
    revoked = json.loads(platform.cli("claim", "revoke", "line-1", "--json").stdout)
    assert revoked["state"] == "revoked" and revoked["revokedAt"]
    assert json.loads(platform.cli("claim", "revoke", "line-1", "--json").stdout) == revoked
    until = time.monotonic() + 10
    while made["serialNumber"].upper() not in crl_text(platform) and time.monotonic() < until:
        time.sleep(0.05)
    assert made["serialNumber"].upper() in crl_text(platform)

    entries = platform.client("auditor").get("/v1/audit/entries?action=claim.revoke").json["entries"]
    assert [entry["subject"] for entry in entries if entry.get("serialNumber") == made["serialNumber"]] == ["line-1"]


def test_another_tenant_sees_none_of_it(platform):
    add(platform, "line-foreign")
    stranger = platform.client("stranger")
    assert stranger.get("/v1/claims").json == {"claims": []}
    assert stranger.get("/v1/claims/line-foreign").status == 404
    assert stranger.post("/v1/claims/line-foreign/revoke").status == 404
    assert platform.client("admin").get("/v1/claims/line-foreign").json["state"] == "active"


def test_names_that_are_none(platform):
    for name in ("Line", "-line", "line_1", "7d444840-9dc0-41d1-b245-5ffdce74fad2", "x" * 49):
        refused = add(platform, name, check=False)
        assert refused.returncode == 2 and "name" in refused.stderr, refused
    assert add(platform, "line", "--days", "0", check=False).returncode == 2
    assert platform.cli("claim", "add", "line", check=False).returncode == 2
    assert platform.cli("claim", "revoke", "a/b", check=False).returncode == 2


def test_what_cannot_be_registered_is_not_kept(platform):
    add(platform, "line-twice")
    claims = platform.directory / "claims"
    again = add(platform, "line-twice", check=False)
    assert again.returncode == 1 and "exists already" in again.stderr
    elsewhere = platform.directory.parent / "elsewhere"
    refused = add(platform, "line-twice", "--out", elsewhere, check=False)
    assert refused.returncode == 1 and "already exists" in refused.stderr.lower(), refused
    assert list(elsewhere.iterdir()) == [] and (claims / "line-twice.key").exists()


def test_only_certificates_of_the_claim_profile(platform, tmp_path, demo_vehicle):
    admin = platform.client("admin")
    cases = {
        "operator": open(issue(tmp_path, "operator", operator_root(platform))[0]).read(),
        "self-signed": open(issue(tmp_path, "self-signed")[0]).read(),
        demo_vehicle[2]["referenceId"]: demo_vehicle[2]["credentials"]["certificate"],
        "other": claim_certificate(platform, tmp_path, "another-name"),
        "none": "none",
    }
    for name, certificate in cases.items():
        answer = admin.post("/v1/claims", {"name": name, "certificate": certificate, "count": 1})
        assert (answer.status, answer.problem) == (422, "value-invalid"), (name, answer)
    assert admin.post("/v1/claims", {"name": "x", "certificate": "none"}).status == 400


def test_without_keyd_nothing_is_made(tmp_path, platform):
    done = subprocess.run([PROGRAMS / "vinveil", "claim", "add", "line-away", "--count", "1", "--data", platform.directory,
                           "--keyd", tmp_path / "none.sock", "--out", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 3 and "key daemon" in done.stderr, done
    assert list((tmp_path / "out").iterdir()) == []
    assert platform.client("admin").get("/v1/claims/line-away").status == 404
