"""The served document is held to: every route and every status it lists is provoked, and every answer is as described."""
import base64
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import signal
import sqlite3
import uuid

import pytest

import est
import json_schema
import wire
from certificates import add_client, claim_certificate, make_csr
from conftest import make_vin
from installation import ROOT, Client, eventually, patiently

DOCUMENT = json.loads((ROOT / "src/api/openapi.json").read_text())
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
OPERATIONS = [(method.upper(), path, operation) for path, item in DOCUMENT["paths"].items()
              for method, operation in item.items() if method in METHODS]
LISTED = [(method, path, status) for method, path, operation in OPERATIONS for status in operation["responses"]]
NOBODY = "7d444840-9dc0-41d1-b245-5ffdce74fad2"
JSON = {"Content-Type": "application/json"}
NDJSON = {"Content-Type": "application/x-ndjson"}
PURPOSE = {"purpose": "customer-service"}
WITHOUT_KEYD = "503 while the key daemon is stopped"


# ---- the document itself --------------------------------------------------------------------------------


def test_the_served_document_is_this_one(platform):
    answer = platform.client().get("/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json") and answer.json == DOCUMENT


def test_it_is_well_formed_openapi_3_1():
    assert re.fullmatch(r"3\.1\.\d+", DOCUMENT["openapi"])
    assert set(DOCUMENT) <= {"openapi", "info", "servers", "paths", "components", "tags", "security", "externalDocs",
                             "jsonSchemaDialect", "webhooks"}
    assert {"title", "version"} <= set(DOCUMENT["info"])
    ids = [operation["operationId"] for _, _, operation in OPERATIONS]
    assert len(ids) == len(set(ids))
    for method, path, operation in OPERATIONS:
        where = f"{method} {path}"
        assert path.startswith("/") and operation["responses"] and operation["summary"], where
        parameters = [json_schema.resolve(DOCUMENT, p) for p in operation.get("parameters", [])]
        assert len({(p["in"], p["name"]) for p in parameters}) == len(parameters), where
        assert {p["name"] for p in parameters if p["in"] == "path"} == set(re.findall(r"\{(\w+)\}", path)), where
        assert all(p["in"] in ("path", "query", "header") and "schema" in p for p in parameters), where
        assert all(p["required"] for p in parameters if p["in"] == "path"), where
        if "requestBody" in operation:
            assert all("schema" in media for media in operation["requestBody"]["content"].values()), where
        for status, response in operation["responses"].items():
            assert status == "default" or re.fullmatch("[1-5][0-9][0-9]", status), where
            assert json_schema.resolve(DOCUMENT, response)["description"], (where, status)
        for requirement in operation["security"]:
            assert set(requirement) <= set(DOCUMENT["components"]["securitySchemes"]), where


def test_every_reference_leads_somewhere_and_every_component_is_used():
    text = json.dumps(DOCUMENT)
    references = set(re.findall(r'"\$ref": "(#[^"]+)"', text))
    for reference in references:
        json_schema.resolve(DOCUMENT, {"$ref": reference})
    for kind in ("schemas", "responses", "parameters", "headers"):
        for name in DOCUMENT["components"][kind]:
            assert f"#/components/{kind}/{name}" in references, f"{kind}/{name} is described but not used"


def test_the_checker_finds_faults():
    vehicle = {"$ref": "#/components/schemas/Vehicle"}
    good = {"referenceId": NOBODY, "tenantId": "demo", "deviceId": None, "state": "active", "attributes": {},
            "createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00.5Z", "version": 1}
    json_schema.validate(DOCUMENT, vehicle, good)
    for wrong in ({"state": "flying"}, {"version": 0}, {"version": "1"}, {"version": True}, {"deviceId": 1}, {"more": 1},
                  {"createdAt": "today"}, {"referenceId": "1"}, {"tenantId": "X"}, {"attributes": []}, {"deviceId": ""}):
        assert not json_schema.matches(DOCUMENT, vehicle, {**good, **wrong}), wrong
    assert not json_schema.matches(DOCUMENT, vehicle, {k: v for k, v in good.items() if k != "state"})


# ---- what provokes each status --------------------------------------------------------------------------


class Scene:
    """What provokers work with: the platform and things made afresh."""

    def __init__(self, platform, directory):
        self.platform, self.directory = platform, directory
        self.admin, self.factory = platform.client("admin"), platform.client("factory")
        self.slow = add_client(platform, directory, "openapi-slow", ["vehicle:read"], limits={"requestsPerSecond": 1, "burst": 1})
        self.none = add_client(platform, directory, "openapi-none", ["vehicle:erase"])
        self.claim = est.new_claim(platform, directory, "openapi-claim")
        self.spent = est.new_claim(platform, directory, "openapi-spent", 1)
        self.late, self.metrics_read = {}, 0

    def known_device(self):
        """A device with its certificate: (Reference ID, (certificate, key))."""
        vehicle = self.platform.provision(make_vin(), "API-" + uuid.uuid4().hex[:12]).json
        return vehicle["referenceId"], est.save_credentials(self.directory, vehicle["referenceId"], vehicle["credentials"])

    def enroll(self, claim=None, times=1):
        """A vehicle's new device asks for its first certificate, each time for another key."""
        device = "API-" + uuid.uuid4().hex[:12]
        est.vehicle_with_new_device(self.platform, make_vin(), (device + "-old", device))
        for number in range(times):
            csr = est.make_csr(est.new_key(self.directory, f"{device}-{number}"), device)
            answer = self.ask_est("simpleenroll", base64.b64encode(csr), claim or self.claim)
        return answer

    def ask_est(self, operation, body, paths, headers=est.PKCS10):
        client = Client(self.platform, *paths)
        answer = client.request("POST", est.PATH + operation, raw=body, headers=headers)
        client.close()
        return answer

    def vehicle(self):
        vin, device = make_vin(), "API-" + uuid.uuid4().hex[:12]
        answer = self.platform.provision(vin, device)
        assert answer.status == 201, answer
        return vin, device, answer.json["referenceId"]

    def device(self):
        device = "API-" + uuid.uuid4().hex[:12]
        self.platform.load_devices(device)
        return device

    def reveal(self, client="investigator"):
        ask = {"referenceId": self.vehicle()[2], "purpose": "legal-request", "reason": "why"}
        return self.platform.client(client).post("/v1/reveal-requests", ask).json["revealRequestId"]

    def approved(self):
        request = self.reveal()
        assert self.platform.client("approver").post(f"/v1/reveal-requests/{request}/approve").status == 200
        return request

    def opened(self):
        request = self.approved()
        assert self.platform.client("investigator").post(f"/v1/reveal-requests/{request}/open").status == 200
        return request

    def client_id(self, name=None):
        name = name or "openapi-" + uuid.uuid4().hex[:12]
        fingerprint = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
        assert self.admin.post("/v1/clients", {"clientId": name, "scopes": ["vehicle:read"],
                                               "fingerprints": [fingerprint]}).status == 201
        return name, fingerprint


def filled(path, name=NOBODY):
    return re.sub(r"\{\w+\}", lambda match: "0" * 64 if match[0] == "{fingerprint}" else name, path)


def fingerprint():
    return hashlib.sha256(uuid.uuid4().bytes).hexdigest()


def lookup(scene, **name):
    return scene.platform.client("crm").post("/v1/reference-ids/lookup", {**name, **PURPOSE})


def batch(scene, *hashed):
    return scene.platform.client("crm").post("/v1/reference-ids/lookup-batch", {"hashedVins": hashed, **PURPOSE})


def patch(scene, body, if_match="*", reference_id=None):
    headers = {"If-Match": if_match} if if_match else {}
    return scene.factory.request("PATCH", f"/v1/vehicles/{reference_id or scene.vehicle()[2]}", body, headers=headers)


def renew(scene, csr, reference_id=None):
    return scene.factory.post(f"/v1/vehicles/{reference_id or scene.vehicle()[2]}/certificates", {"csr": csr})


def decommissioned(scene):
    reference_id = scene.vehicle()[2]
    assert patch(scene, {"state": "decommissioned"}, reference_id=reference_id).status == 200
    return reference_id


def provision(scene, vin, device):
    return scene.factory.post("/v1/vehicles", {"vin": vin, "deviceId": device})


def provision_again(scene):
    vin, device, _ = scene.vehicle()
    return provision(scene, vin, device)


def change_tcu(scene, new, wrong=None):
    _, device, reference_id = scene.vehicle()
    new = device if new == "same" else new
    return scene.platform.client("service-center").post(
        "/v1/tcu-changes", {"referenceId": reference_id, "deviceId": wrong or device, "newDeviceId": new})


def send_command(scene, reference_id=None, **members):
    return scene.platform.client("crm").post(
        f"/v1/vehicles/{reference_id or scene.vehicle()[2]}/commands", {"name": "door.lock", **members})


def sent_command(scene):
    reference_id = scene.vehicle()[2]
    return reference_id, send_command(scene, reference_id).json["commandId"]


def ask_reveal(scene, **members):
    body = {"referenceId": NOBODY, "purpose": "legal-request", "reason": "why", **members}
    return scene.platform.client("investigator").post("/v1/reveal-requests", body)


def approve(scene, request, **options):
    return scene.platform.client("approver").post(f"/v1/reveal-requests/{request}/approve", **options)


def open_reveal(scene, request):
    return scene.platform.client("investigator").post(f"/v1/reveal-requests/{request}/open")


def new_client(scene, **members):
    body = {"clientId": "openapi-" + uuid.uuid4().hex[:12], "scopes": ["vehicle:read"], "fingerprints": [fingerprint()]}
    return scene.admin.post("/v1/clients", {**body, **members})


def register_claim(scene, name=None, **members):
    name = name or "openapi-" + uuid.uuid4().hex[:12]
    body = {"name": name, "certificate": claim_certificate(scene.platform, scene.directory, name), "count": 1}
    return scene.admin.post("/v1/claims", {**body, **members})


def revoke_claim(scene, name=None, **options):
    return scene.admin.post(f"/v1/claims/{name or register_claim(scene).json['name']}/revoke", **options)


def first_tile(scene):
    scene.vehicle()
    scene.platform.wait_checkpoint()
    note = scene.platform.client("auditor").get("/v1/audit/log/checkpoint")
    size = int(note.body.split(b"\n")[1])
    return scene.platform.client("auditor").get("/v1/audit/log/tile/entries/000" + ("" if size >= 256 else f".p/{size}"))


def mismatch(method, path, one, two):
    """Two bodies under one Idempotency-Key."""
    def provoke(scene):
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        target = path(scene)
        scene_client = scene.platform.client("approver") if "approve" in target else scene.admin
        scene_client.request(method, target, raw=one, headers={**headers, **JSON})
        return scene_client.request(method, target, raw=two, headers={**headers, **JSON})
    return provoke


EXAMPLE = json.loads((ROOT / "doc/examples/fleetwise.json").read_text())
def broken_est(scene, path, paths):
    content = wire.head("POST", path, est.PKCS10, 4).replace(b"Host:", b"Host: a\r\nHost:") + b"junk"
    return wire.exchange(scene.platform, content, paths=tuple(map(str, paths)))


def too_early(scene):
    reference_id, paths = scene.known_device()
    return scene.ask_est("simplereenroll", base64.b64encode(est.renewal_csr(paths[1], reference_id)), paths)


def astray(scene):
    _, paths = scene.known_device()
    client = Client(scene.platform, *paths)
    for _ in range(1000):  # one a second is given back meanwhile
        answer = client.request("POST", RENEW, raw=b"junk", headers=est.PKCS10)
        if answer.status == 429:
            break
    client.close()
    return answer


CACERTS, ENROLL, RENEW = (est.PATH + operation for operation in ("cacerts", "simpleenroll", "simplereenroll"))
VEHICLE, CLIENT, REVEAL = "/v1/vehicles/{referenceId}", "/v1/clients/{id}", "/v1/reveal-requests/{id}"
CLAIM = "/v1/claims/{name}"
SPECIFIC = {
    ("POST", "/v1/reference-ids/lookup", 200): lambda s: lookup(s, vin=s.vehicle()[0]),
    ("POST", "/v1/reference-ids/lookup", 404): lambda s: lookup(s, vin=make_vin()),
    ("POST", "/v1/reference-ids/lookup", 422): lambda s: lookup(s, vin="x"),
    ("POST", "/v1/reference-ids/lookup-batch", 200): lambda s: batch(
        s, "0" * 64, hashlib.sha256(s.vehicle()[0].encode()).hexdigest()),
    ("POST", "/v1/reference-ids/lookup-batch", 422): lambda s: batch(s),
    ("POST", "/v1/vehicles", 201): lambda s: provision(s, make_vin(), s.device()),
    ("POST", "/v1/vehicles", 200): provision_again,
    ("POST", "/v1/vehicles", 409): lambda s: provision(s, make_vin(), s.vehicle()[1]),
    ("POST", "/v1/vehicles", 422): lambda s: provision(s, "x", "D"),
    ("GET", "/v1/vehicles", 200): lambda s: s.vehicle() and s.factory.get("/v1/vehicles?limit=2"),
    ("GET", VEHICLE, 200): lambda s: s.factory.get(f"/v1/vehicles/{s.vehicle()[2]}"),
    ("PATCH", VEHICLE, 200): lambda s: patch(s, {"attributes": {"a": 1}}),
    ("PATCH", VEHICLE, 409): lambda s: patch(s, {"state": "active"}),
    ("PATCH", VEHICLE, 412): lambda s: patch(s, {"attributes": {}}, '"99"'),
    ("PATCH", VEHICLE, 422): lambda s: patch(s, {"state": "flying"}),
    ("PATCH", VEHICLE, 428): lambda s: patch(s, {"attributes": {}}, None),
    ("GET", VEHICLE + "/history", 200): lambda s: s.factory.get(f"/v1/vehicles/{s.vehicle()[2]}/history?limit=1"),
    ("POST", VEHICLE + "/certificates", 201): lambda s: renew(s, make_csr()),
    ("POST", VEHICLE + "/certificates", 409): lambda s: renew(s, make_csr(), decommissioned(s)),
    ("POST", VEHICLE + "/certificates", 422): lambda s: renew(s, "none"),
    ("GET", VEHICLE + "/access-report", 200): lambda s: s.platform.client("auditor").get(
        f"/v1/vehicles/{s.vehicle()[2]}/access-report"),
    ("POST", VEHICLE + "/commands", 202): lambda s: send_command(s, payload={"door": 1}),
    ("POST", VEHICLE + "/commands", 409): lambda s: send_command(s, decommissioned(s)),
    ("POST", VEHICLE + "/commands", 422): lambda s: send_command(s, timeoutSeconds=0),
    ("GET", VEHICLE + "/commands", 200): lambda s: s.platform.client("crm").get(
        f"/v1/vehicles/{sent_command(s)[0]}/commands?limit=1"),
    ("GET", VEHICLE + "/signals/latest", 200): lambda s: s.platform.client("crm").get(
        f"/v1/vehicles/{s.vehicle()[2]}/signals/latest"),
    ("GET", VEHICLE + "/signals", 200): lambda s: s.platform.client("crm").get(
        f"/v1/vehicles/{s.vehicle()[2]}/signals?name=Vehicle.Speed&from=2026-01-01T00:00:00Z&limit=1"),
    ("GET", VEHICLE + "/signals", 422): lambda s: s.platform.client("crm").get(
        f"/v1/vehicles/{s.vehicle()[2]}/signals?name=.Speed"),
    ("GET", VEHICLE + "/commands/{commandId}", 200): lambda s: s.platform.client("crm").get(
        "/v1/vehicles/{}/commands/{}".format(*sent_command(s))),
    ("GET", "/v1/alerts", 200): lambda s: s.platform.client("auditor").get("/v1/alerts?kind=cloned-key&limit=2"),
    ("POST", "/v1/tcu-changes", 200): lambda s: change_tcu(s, None),
    ("POST", "/v1/tcu-changes", 409): lambda s: change_tcu(s, None, "ANOTHER"),
    ("POST", "/v1/tcu-changes", 422): lambda s: change_tcu(s, "same"),
    ("POST", "/v1/devices", 200): lambda s: s.factory.post("/v1/devices", raw=b'{"deviceId":"A"}\n{', headers=NDJSON),
    ("POST", "/v1/reveal-requests", 201): lambda s: ask_reveal(s, referenceId=s.vehicle()[2], ticket="T"),
    ("POST", "/v1/reveal-requests", 422): lambda s: ask_reveal(s, reason=""),
    ("GET", REVEAL, 200): lambda s: s.platform.client("approver").get(f"/v1/reveal-requests/{s.approved()}"),
    ("POST", REVEAL + "/approve", 200): lambda s: approve(s, s.reveal()),
    ("POST", REVEAL + "/approve", 410): lambda s: approve(s, s.opened()),
    ("POST", REVEAL + "/approve", 422): lambda s: approve(s, s.reveal(), headers={"Idempotency-Key": "x" * 200}),
    ("POST", REVEAL + "/open", 200): lambda s: open_reveal(s, s.approved()),
    ("POST", REVEAL + "/open", 409): lambda s: open_reveal(s, s.reveal()),
    ("POST", REVEAL + "/open", 410): lambda s: open_reveal(s, s.opened()),
    ("GET", "/v1/audit/entries", 200): lambda s: s.platform.client("auditor").get("/v1/audit/entries?limit=200&proof=true"),
    ("GET", "/v1/audit/log/checkpoint", 200): lambda s: first_tile(s) and s.platform.client("auditor").get(
        "/v1/audit/log/checkpoint"),
    ("GET", "/v1/audit/log/tile/{tile}", 200): first_tile,
    ("GET", "/v1/clients", 200): lambda s: s.admin.get("/v1/clients"),
    ("POST", "/v1/clients", 201): lambda s: new_client(s, purposes=["customer-service"], limits={"burst": 5, "requestsPerSecond": 1}),
    ("POST", "/v1/clients", 404): lambda s: new_client(s, tenantId="no-such-tenant"),
    ("POST", "/v1/clients", 409): lambda s: new_client(s, clientId="crm"),
    ("POST", "/v1/clients", 422): lambda s: new_client(s, scopes=[]),
    ("GET", CLIENT, 200): lambda s: s.admin.get("/v1/clients/crm"),
    ("POST", CLIENT + "/suspend", 200): lambda s: s.admin.post(f"/v1/clients/{s.client_id()[0]}/suspend"),
    ("POST", CLIENT + "/suspend", 422): lambda s: s.admin.post("/v1/clients/crm/suspend", headers={"Idempotency-Key": "x" * 200}),
    ("POST", CLIENT + "/resume", 200): lambda s: s.admin.post(f"/v1/clients/{s.client_id()[0]}/resume"),
    ("POST", CLIENT + "/resume", 422): lambda s: s.admin.post("/v1/clients/crm/resume", headers={"Idempotency-Key": "x" * 200}),
    ("POST", CLIENT + "/certificates", 200): lambda s: s.admin.post(
        f"/v1/clients/{s.client_id()[0]}/certificates", {"fingerprint": fingerprint()}),
    ("POST", CLIENT + "/certificates", 409): lambda s: s.admin.post(
        f"/v1/clients/{s.client_id()[0]}/certificates", {"fingerprint": s.client_id()[1]}),
    ("POST", CLIENT + "/certificates", 422): lambda s: s.admin.post("/v1/clients/crm/certificates", {"fingerprint": "x"}),
    ("DELETE", CLIENT + "/certificates/{fingerprint}", 200): lambda s: s.admin.request(
        "DELETE", "/v1/clients/{}/certificates/{}".format(*s.client_id())),
    ("GET", "/v1/tenants", 200): lambda s: s.admin.get("/v1/tenants"),
    ("POST", "/v1/tenants", 201): lambda s: s.admin.post("/v1/tenants", {"tenantId": "t-" + uuid.uuid4().hex[:12]}),
    ("POST", "/v1/tenants", 409): lambda s: s.admin.post("/v1/tenants", {"tenantId": "demo"}),
    ("POST", "/v1/tenants", 422): lambda s: s.admin.post("/v1/tenants", {"tenantId": "No Such"}),
    ("GET", "/v1/signal-documents", 200): lambda s: s.admin.get("/v1/signal-documents"),
    ("POST", "/v1/signal-documents", 201): lambda s: s.admin.post("/v1/signal-documents", EXAMPLE),
    ("POST", "/v1/signal-documents", 413): lambda s: wire.exchange(
        s.platform, wire.head("POST", "/v1/signal-documents", JSON, length=4_200_000), "admin"),
    ("POST", "/v1/signal-documents", 422): lambda s: s.admin.post("/v1/signal-documents", {**EXAMPLE, "signals": []}),
    ("GET", "/v1/claims", 200): lambda s: revoke_claim(s) and s.admin.get("/v1/claims"),
    ("POST", "/v1/claims", 201): register_claim,
    ("POST", "/v1/claims", 409): lambda s: register_claim(s, register_claim(s).json["name"]),
    ("POST", "/v1/claims", 422): lambda s: register_claim(s, count=0),
    ("GET", CLAIM, 200): lambda s: s.admin.get("/v1/claims/" + register_claim(s).json["name"]),
    ("POST", CLAIM + "/revoke", 200): revoke_claim,
    ("POST", CLAIM + "/revoke", 422): lambda s: revoke_claim(s, "none", headers={"Idempotency-Key": "x" * 200}),
    ("GET", CACERTS, 200): lambda s: s.platform.client().get(CACERTS),
    ("POST", ENROLL, 200): lambda s: s.enroll(),
    ("POST", ENROLL, 400): lambda s: broken_est(s, ENROLL, s.claim),
    ("POST", ENROLL, 403): lambda s: s.enroll(s.spent) and s.enroll(s.spent),
    ("POST", ENROLL, 404): lambda s: s.ask_est("simpleenroll", base64.b64encode(
        est.make_csr(est.new_key(s.directory, "nobody"), "NO-SUCH-TCU")), s.claim),
    ("POST", ENROLL, 409): lambda s: s.enroll(times=2),
    ("POST", ENROLL, 413): lambda s: s.ask_est("simpleenroll", b"A" * 100_000, s.claim),
    ("POST", ENROLL, 415): lambda s: s.ask_est("simpleenroll", b"{}", s.claim, JSON),
    ("POST", ENROLL, 422): lambda s: s.ask_est("simpleenroll", b"junk", s.claim),
    ("POST", RENEW, 400): lambda s: broken_est(s, RENEW, s.known_device()[1]),
    ("POST", RENEW, 403): lambda s: too_early(s),
    ("POST", RENEW, 413): lambda s: s.ask_est("simplereenroll", b"A" * 100_000, s.known_device()[1]),
    ("POST", RENEW, 415): lambda s: s.ask_est("simplereenroll", b"{}", s.known_device()[1], JSON),
    ("POST", RENEW, 422): lambda s: s.ask_est("simplereenroll", b"junk", s.known_device()[1]),
    ("POST", RENEW, 429): lambda s: astray(s),
    ("GET", "/openapi.json", 200): lambda s: s.platform.client().get("/openapi.json"),
}


def small_body(method, path):
    """A body that is read but leads to nothing: enough for statuses that come before or after it."""
    if method in ("GET", "DELETE"):
        return None, {}
    if path == "/v1/devices":
        return b"", NDJSON
    bodies = {
        "/v1/tcu-changes": {"referenceId": NOBODY, "deviceId": "A", "newDeviceId": "B"},
        "/v1/reveal-requests": {"referenceId": NOBODY, "purpose": "legal-request", "reason": "why"},
        "/v1/vehicles/{referenceId}": {"attributes": {}}, "/v1/vehicles/{referenceId}/certificates": {"csr": make_csr()},
        "/v1/clients/{id}/certificates": {"fingerprint": "0" * 64}, "/v1/vehicles/{referenceId}/commands": {"name": "door.lock"},
    }
    return (json.dumps(bodies[path]).encode() if path in bodies else None), JSON


def provoke_400(scene, method, path):
    if method == "POST" and path != "/v1/devices" or method == "PATCH":
        return scene.admin.request(method, filled(path, "crm" if "clients" in path else NOBODY), raw=b"{", headers=JSON)
    content = wire.head(method, filled(path)).replace(b"Host:", b"Host: a\r\nHost:")
    return wire.exchange(scene.platform, content, "admin")


def provoke_413(scene, method, path):
    return scene.admin.request(method, filled(path), raw=b" " * 100_000, headers=JSON)


def provoke_429(scene, method, path):
    raw, headers = small_body(method, path)
    for _ in range(100):  # one a second is given back meanwhile
        answer = scene.slow.request(method, filled(path), raw=raw, headers=headers)
        if answer.status == 429:
            break
    return answer


def by_request(client, method, path, headers=()):
    raw, own = small_body(method, path)
    return client.request(method, filled(path), raw=raw, headers={**own, **dict(headers)})


GENERIC = {
    400: provoke_400,
    401: lambda s, m, p: by_request(s.platform.client(), m, p),
    403: lambda s, m, p: by_request(s.none, m, p),
    404: lambda s, m, p: by_request(s.admin, m, p),
    408: lambda s, m, p: s.late[m, p].result(),
    413: provoke_413,
    415: lambda s, m, p: s.admin.request(m, filled(p), raw=b"{}", headers={"Content-Type": "text/plain"}),
    429: provoke_429,
    431: lambda s, m, p: wire.exchange(s.platform, wire.head(m, filled(p), {"X-Large": "x" * 17000}), "admin"),
}
# What no request provokes: these need faults, which have tests of their own below (503) or elsewhere (500: corrupt files).
FAULTS = {500, 503}
ELSEWHERE = {("GET", "/v1/audit/log/checkpoint", "404"),  # on an installation without one: below
             # on an installation whose clock is moved, or whose rates are low: test_est.py
             ("POST", RENEW, "200"), ("POST", RENEW, "409"), ("POST", ENROLL, "429")}


def is_never_ending(method, path):
    return lambda platform: wire.exchange(platform, f"{method} {filled(path)} HTTP/1.1\r\nHost: a\r\n".encode(), "admin",
                                          timeout=40)


@pytest.fixture(scope="module")
def scene(platform, tmp_path_factory):
    made = Scene(platform, tmp_path_factory.mktemp("openapi"))
    with concurrent.futures.ThreadPoolExecutor(len(OPERATIONS)) as executor:
        # All of them wait for the same ten seconds, while the others are provoked.
        made.late = {(m, p): executor.submit(is_never_ending(m, p), platform) for m, p, _ in OPERATIONS}
        yield made
    made.slow.close()
    made.none.close()


def check_answer(method, path, answer):
    """Is the answer one that the operation describes: Content-Type, body, headers?"""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    assert str(answer.status) in responses, f"{method} {path} answered {answer}, which is not listed"
    response = json_schema.resolve(DOCUMENT, responses[str(answer.status)])
    for name, header in response.get("headers", {}).items():
        header = json_schema.resolve(DOCUMENT, header)
        value = answer.headers.get(name.lower())
        assert value is not None or not header.get("required"), f"{name} is missing: {answer.headers}"
        if value is not None:
            is_number = header["schema"].get("type") == "integer"
            json_schema.validate(DOCUMENT, header["schema"], int(value) if is_number else value, name)
    assert uuid.UUID(answer.headers["request-id"])
    assert answer.headers["content-type"] in response["content"], answer.headers
    media = response["content"][answer.headers["content-type"]]
    if "json" in answer.headers["content-type"]:
        json_schema.validate(DOCUMENT, media.get("schema", {}), answer.json)
    if answer.status >= 400:
        assert answer.json["status"] == answer.status and answer.json["requestId"] == answer.headers["request-id"]


def find_provoker(method, path, status):
    specific = SPECIFIC.get((method, path, status))
    if specific is not None:
        return specific
    if status == 409 and "Idempotency-Key" in json.dumps([json_schema.resolve(DOCUMENT, p) for p in DOCUMENT["paths"][path][
            method.lower()]["parameters"]]):
        return lambda scene: in_progress(scene, method, path)
    generic = GENERIC.get(status)
    return None if generic is None else lambda scene: generic(scene, method, path)


def requests_read(scene):
    """How many the API has read, beside those that ask for this."""
    answer = scene.platform.operations("/metrics").body.decode()
    scene.metrics_read += 1
    return int(re.search(r"^vinveil_http_requests_total (\d+)$", answer, re.M)[1]) - scene.metrics_read


def in_progress(scene, method, path):
    """409 while a request with the same Idempotency-Key runs. All of them wait for the registry, whose lock is held here;
    when it is let go the first one has its record, and has much to do yet while the others find that."""
    def post(headers):
        client = scene.platform.new_client("approver" if "approve" in path else "admin")
        try:
            return client.request(method, target, headers=headers)
        finally:
            client.close()
    names = {"approve": scene.reveal, "revoke": lambda: register_claim(scene).json["name"]}
    name = names.get(path.rsplit("/", 1)[1], lambda: scene.client_id()[0])
    for _ in range(20):
        target = filled(path, name())
        headers, before = {"Idempotency-Key": str(uuid.uuid4())}, requests_read(scene)
        with concurrent.futures.ThreadPoolExecutor(8) as executor:
            with contextlib.closing(sqlite3.connect(scene.platform.directory / "registry/registry.db", timeout=10,
                                                    isolation_level=None)) as registry:
                registry.execute("BEGIN IMMEDIATE")
                answers = executor.map(post, [headers] * 8)
                eventually("all have come", lambda: requests_read(scene) >= before + 8)
                registry.execute("ROLLBACK")
            answers = list(answers)
        for answer in answers:
            if answer.status == 409:
                return answer
    return answers[0]


@pytest.mark.parametrize("method, path, status", sorted(LISTED, key=lambda row: row[2] == "408"),
                         ids=lambda value: str(value))
def test_each_listed_status_is_given_as_described(scene, method, path, status):
    if status == "default" or int(status) in FAULTS or (method, path, status) in ELSEWHERE:
        return
    provoke = find_provoker(method, path, int(status))
    assert provoke is not None, f"nothing here provokes {status} of {method} {path}"
    answer = provoke(scene)
    assert answer.status == int(status), answer
    check_answer(method, path, answer)


def test_no_provoker_is_for_what_is_not_listed():
    assert {(m, p, str(s)) for m, p, s in SPECIFIC} <= set(LISTED)


# ---- faults ---------------------------------------------------------------------------------------------

NEEDS_KEYD = [("POST", "/v1/reference-ids/lookup", "crm", {"hashedVin": "0" * 64, **PURPOSE}),
              ("POST", "/v1/reference-ids/lookup-batch", "crm", {"hashedVins": ["0" * 64], **PURPOSE}),
              ("POST", "/v1/vehicles", "factory", {"vin": "1M8GDM9AXKP042788", "deviceId": "FAULT-1"}),
              ("POST", "/v1/tcu-changes", "service-center", {"hashedVin": "0" * 64, "deviceId": "A", "newDeviceId": "B"}),
              ("POST", "/v1/tenants", "admin", {"tenantId": "fault-tenant"})]


def test_without_the_key_daemon_what_needs_it_is_503_and_the_rest_goes_on(own_platform):
    platform = own_platform()
    platform.load_devices("FAULT-1")
    keyd = platform.freeze("vinveil-keyd")
    try:
        with concurrent.futures.ThreadPoolExecutor(len(NEEDS_KEYD)) as executor:
            answers = list(executor.map(lambda row: platform.client(row[2]).request(row[0], row[1], row[3]) if row[2] != "crm"
                                        else platform.new_client("crm").request(row[0], row[1], row[3]), NEEDS_KEYD))
        for (method, path, _, _), answer in zip(NEEDS_KEYD, answers):
            assert (answer.status, answer.problem) == (503, "unavailable"), (path, answer)
            assert int(answer.headers["retry-after"]) >= 1
            check_answer(method, path, answer)
        assert platform.client("factory").get("/v1/vehicles").status == 200
        assert platform.operations("/healthz").status == 200
        assert platform.operations("/readyz").status == 503
    finally:
        os.kill(keyd, signal.SIGCONT)
    for method, path, client, body in NEEDS_KEYD:
        answer = patiently(lambda: platform.client(client).request(method, path, body))
        assert answer.status in (200, 201, 404), (path, answer)


def test_before_the_first_checkpoint_there_is_none(own_platform):
    platform = own_platform()
    answer = platform.client("auditor").get("/v1/audit/log/checkpoint")
    assert (answer.status, answer.problem) == (404, "not-found")
    check_answer("GET", "/v1/audit/log/checkpoint", answer)
    platform.wait_checkpoint()  # over that answer's own leaf
    assert platform.client("auditor").get("/v1/audit/log/checkpoint").status == 200


def test_after_the_key_daemons_death_it_goes_on(own_platform):
    platform = own_platform()
    platform.load_devices("FAULT-1")
    pid = platform.kill("vinveil-keyd")
    platform.wait_restarted("vinveil-keyd", pid)
    for method, path, client, body in NEEDS_KEYD:
        answer = patiently(lambda: platform.client(client).request(method, path, body))
        assert answer.status in (200, 201, 404), (path, answer)
