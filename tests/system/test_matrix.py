"""Every route for every kind of principal: exactly the expected status, and what is foreign looks like what is not there."""
import hashlib
import json
import re
import ssl
import uuid

import pytest

import est
import wire
from certificates import add_client, device_root, issue, make_csr, operator_root
from installation import ROOT, Client

DOCUMENT = json.loads((ROOT / "src/api/openapi.json").read_text())
NOBODY = "7d444840-9dc0-41d1-b245-5ffdce74fad2"
SCOPES = DOCUMENT["components"]["schemas"]["Client"]["properties"]["scopes"]["items"]["enum"]

SECURED = sorted((method.upper(), path, kind, tuple(sorted(names)))
                 for path, item in DOCUMENT["paths"].items() for method, operation in item.items()
                 if method in ("get", "post", "patch", "put", "delete") and operation["security"]
                 for kind, names in operation["security"][0].items())
ROUTES = [(method, path, scopes) for method, path, kind, scopes in SECURED if kind == "clientCertificate"]
DEVICE_ROUTES = [(method, path, kind) for method, path, kind, _ in SECURED if kind != "clientCertificate"]
NAMES = [f"{method} {path}" for method, path, _ in ROUTES]


def body_of(method, path):
    """(body, headers) that a client with the rights would be heard with."""
    purpose = "customer-service"
    bodies = {
        "/v1/reference-ids/lookup": {"hashedVin": "0" * 64, "purpose": purpose},
        "/v1/reference-ids/lookup-batch": {"hashedVins": ["0" * 64], "purpose": purpose},
        "/v1/vehicles": {"vin": "1M8GDM9AXKP042788", "deviceId": "NOT-IN-ANY-MANIFEST"},
        "/v1/vehicles/{referenceId}": {"attributes": {"a": 1}},
        "/v1/vehicles/{referenceId}/certificates": {"csr": make_csr()},
        "/v1/vehicles/{referenceId}/commands": {"name": "door.lock"},
        "/v1/tcu-changes": {"referenceId": NOBODY, "deviceId": "A", "newDeviceId": "B"},
        "/v1/reveal-requests": {"referenceId": NOBODY, "purpose": "legal-request", "reason": "because"},
        "/v1/clients": {"clientId": "nobody", "tenantId": "no-such-tenant", "scopes": ["vehicle:read"],
                        "fingerprints": ["0" * 64]},
        "/v1/clients/{id}/certificates": {"fingerprint": "0" * 64},
        "/v1/tenants": {"tenantId": "demo"},
        "/v1/signal-documents": {"name": "matrix", "signals": []},
        "/v1/claims": {"name": "nobody", "certificate": "no PEM", "count": 1},
    }
    if method == "GET" or method == "DELETE":
        return None, {}
    if path == "/v1/devices":
        return b'{"deviceId": "MATRIX-DEVICE"}\n', {"Content-Type": "application/x-ndjson"}
    if path not in bodies:
        return None, {}
    return json.dumps(bodies[path]).encode(), {"Content-Type": "application/json", "If-Match": "*"}


# What a client with the scope gets when nothing by that name is there. Everybody without it gets the same 403.
RIGHT = {
    ("POST", "/v1/reference-ids/lookup"): 404, ("POST", "/v1/reference-ids/lookup-batch"): 200,
    ("POST", "/v1/vehicles"): 422, ("GET", "/v1/vehicles"): 200, ("GET", "/v1/vehicles/{referenceId}"): 404,
    ("PATCH", "/v1/vehicles/{referenceId}"): 404, ("GET", "/v1/vehicles/{referenceId}/history"): 404,
    ("POST", "/v1/vehicles/{referenceId}/certificates"): 404, ("GET", "/v1/vehicles/{referenceId}/access-report"): 404,
    ("POST", "/v1/vehicles/{referenceId}/commands"): 404, ("GET", "/v1/vehicles/{referenceId}/commands"): 404,
    ("GET", "/v1/vehicles/{referenceId}/signals/latest"): 404, ("GET", "/v1/vehicles/{referenceId}/signals"): 404,
    ("GET", "/v1/vehicles/{referenceId}/commands/{commandId}"): 404, ("GET", "/v1/alerts"): 200,
    ("POST", "/v1/tcu-changes"): 404, ("POST", "/v1/devices"): 200, ("POST", "/v1/reveal-requests"): 404,
    ("GET", "/v1/reveal-requests/{id}"): 404, ("POST", "/v1/reveal-requests/{id}/approve"): 404,
    ("POST", "/v1/reveal-requests/{id}/open"): 404, ("GET", "/v1/audit/entries"): 200,
    ("GET", "/v1/audit/log/checkpoint"): 200, ("GET", "/v1/audit/log/tile/{tile}"): 404, ("GET", "/v1/clients"): 200,
    ("POST", "/v1/clients"): 404, ("GET", "/v1/clients/{id}"): 404, ("POST", "/v1/clients/{id}/suspend"): 404,
    ("POST", "/v1/clients/{id}/resume"): 404, ("POST", "/v1/clients/{id}/certificates"): 404,
    ("DELETE", "/v1/clients/{id}/certificates/{fingerprint}"): 404, ("GET", "/v1/tenants"): 200, ("POST", "/v1/tenants"): 409,
    ("GET", "/v1/signal-documents"): 200, ("POST", "/v1/signal-documents"): 422,
    ("GET", "/v1/claims"): 200, ("POST", "/v1/claims"): 422, ("GET", "/v1/claims/{name}"): 404,
    ("POST", "/v1/claims/{name}/revoke"): 404,
}


def filled(path, name=NOBODY):
    return re.sub(r"\{\w+\}", lambda match: "0" * 64 if match[0] == "{fingerprint}" else name, path)


def ask(client, method, path, name=NOBODY, **headers):
    raw, own = body_of(method, path)
    return client.request(method, filled(path, name), raw=raw, headers={**own, **headers})


@pytest.fixture(scope="module")
def scoped(platform, tmp_path_factory):
    """A client of tenant demo for each scope, with that scope alone."""
    directory = tmp_path_factory.mktemp("scoped")
    platform.load_devices("MATRIX-FIRST")
    platform.wait_checkpoint()
    clients = {scope: add_client(platform, directory, "only-" + scope.replace(":", "-"), [scope]) for scope in SCOPES}
    yield clients
    for client in clients.values():
        client.close()


def test_every_route_has_its_expectation():
    assert {(method, path) for method, path, _ in ROUTES} == set(RIGHT)


@pytest.mark.parametrize("method, path, scopes", ROUTES, ids=NAMES)
def test_exactly_the_right_scope_opens_it(scoped, method, path, scopes):
    for scope, client in scoped.items():
        answer = ask(client, method, path)
        if scope in scopes:
            assert answer.status == RIGHT[method, path], (scope, answer)
        else:
            assert (answer.status, answer.problem) == (403, "scope-missing"), (scope, answer)


def test_no_scopes_but_the_right_ones_open_it(platform, tmp_path):
    for method, path, scopes in ROUTES:
        others = [scope for scope in SCOPES if scope not in scopes]
        client = add_client(platform, tmp_path, "all-but-" + uuid.uuid4().hex[:12], others)
        answer = ask(client, method, path)
        client.close()
        assert (answer.status, answer.problem) == (403, "scope-missing"), (method, path, answer)


@pytest.mark.parametrize("method, path, scopes", ROUTES, ids=NAMES)
def test_without_a_certificate_401(platform, method, path, scopes):
    answer = ask(platform.client(), method, path)
    assert (answer.status, answer.problem) == (401, "unauthenticated")


def test_a_certificate_that_is_registered_to_nobody_401(platform, tmp_path):
    certificate, key, _ = issue(tmp_path, "nobody", operator_root(platform))
    client = Client(platform, certificate, key)
    for method, path, _ in ROUTES:
        answer = ask(client, method, path)
        assert (answer.status, answer.problem) == (401, "unauthenticated"), (method, path, answer)
    client.close()


def test_a_name_in_the_certificate_gives_no_rights(platform, tmp_path):
    """Rights come from the registration of that very certificate, not from the name in it."""
    certificate, key, _ = issue(tmp_path, "admin", operator_root(platform))
    assert Client(platform, certificate, key).get("/v1/clients").status == 401


def test_an_unverifiable_certificate_reaches_no_route(platform, tmp_path):
    wrong = {"expired": issue(tmp_path, "expired", operator_root(platform), days=(-30, -1))[:2],
             "expired-device": issue(tmp_path, "expired-device", est.device_issuer(platform), days=(-30, -1))[:2],
             "foreign": issue(tmp_path, "foreign")[:2]}
    for kind, paths in wrong.items():
        for method, path, _ in ROUTES + DEVICE_ROUTES:
            raw, headers = body_of(method, path)
            with pytest.raises(ssl.SSLError, match="ALERT"):
                wire.exchange(platform, wire.head(method, filled(path), headers, len(raw or b"")) + (raw or b""), paths=paths)
                pytest.fail(f"{kind}: {method} {path}")


def test_a_suspended_client_is_refused_everywhere_on_its_open_connection(platform, tmp_path):
    client = add_client(platform, tmp_path, "to-be-suspended", SCOPES)
    assert client.get("/v1/vehicles").status == 200
    opened = client.connection
    assert platform.client("admin").post("/v1/clients/to-be-suspended/suspend").status == 200
    for method, path, _ in ROUTES:
        answer = ask(client, method, path)
        assert (answer.status, answer.problem) == (403, "client-suspended"), (method, path, answer)
    assert client.connection is opened, "the refusals were to be on the connection that was open before"
    assert platform.client("admin").post("/v1/clients/to-be-suspended/resume").status == 200
    assert client.get("/v1/vehicles").status == 200
    client.close()


def test_a_removed_certificate_is_worth_nothing_on_its_open_connection(platform, tmp_path):
    client = add_client(platform, tmp_path, "to-be-removed", ["vehicle:read"])
    assert client.get("/v1/vehicles").status == 200
    fingerprint = platform.client("admin").get("/v1/clients/to-be-removed").json["fingerprints"][0]
    path = f"/v1/clients/to-be-removed/certificates/{fingerprint}"
    assert platform.client("admin").request("DELETE", path).status == 200
    assert client.get("/v1/vehicles").status == 401
    client.close()


# ---- what is a device's, and what is a client's -----------------------------------------------------------


@pytest.fixture
def of_the_device_authority(platform, demo_vehicle, tmp_path):
    """Certificates under the device root, by kind: (certificate, key)."""
    made = {
        "deviceCertificate": est.save_credentials(tmp_path, "device", demo_vehicle[2]["credentials"]),
        "claimCertificate": est.new_claim(platform, tmp_path, "matrix-" + uuid.uuid4().hex[:12]),
        "unknown": issue(tmp_path, demo_vehicle[2]["referenceId"], est.device_issuer(platform))[:2],
        "of the root": issue(tmp_path, "root", device_root(platform))[:2],
    }
    return {kind: tuple(map(str, paths)) for kind, paths in made.items()}


def test_whoever_is_of_the_device_authority_is_no_client_even_when_registered(platform, of_the_device_authority, tmp_path):
    for kind, paths in of_the_device_authority.items():
        for is_registered in (False, True):
            client = Client(platform, *paths)
            for method, path, _ in ROUTES:
                answer = ask(client, method, path)
                assert (answer.status, answer.problem) == (401, "unauthenticated"), (kind, method, path, answer)
            client.close()
            assert is_registered or platform.client("admin").post("/v1/clients", {
                "clientId": "matrix-" + uuid.uuid4().hex[:12], "scopes": SCOPES,
                "fingerprints": [est.fingerprint(paths[0])]}).status == 201


def test_each_kind_has_its_own_est_route(platform, of_the_device_authority):
    assert {kind for _, _, kind in DEVICE_ROUTES} == {"deviceCertificate", "claimCertificate"}
    for method, path, wanted in DEVICE_ROUTES:
        for kind, paths in of_the_device_authority.items():
            client = Client(platform, *paths)
            answer = client.request(method, path, raw=b"junk", headers=est.PKCS10)
            client.close()
            expected = (422, "csr-invalid") if kind == wanted else (401, "unauthenticated")
            assert (answer.status, answer.problem) == expected, (method, path, kind, answer)


def test_no_client_reaches_est(platform, scoped):
    for method, path, _ in DEVICE_ROUTES:
        for client in [platform.client(), platform.client("admin"), *scoped.values()]:
            answer = client.request(method, path, raw=b"junk", headers=est.PKCS10)
            assert (answer.status, answer.problem) == (401, "unauthenticated"), (method, path, answer)


def test_a_serial_number_is_the_device_authoritys_own(platform, of_the_device_authority, tmp_path):
    """An operator's certificate that has a device's or a claim's number is neither."""
    for method, path, kind in DEVICE_ROUTES:
        number = int(est.openssl("x509", "-in", of_the_device_authority[kind][0], "-noout", "-serial").split(b"=")[1], 16)
        paths = issue(tmp_path, "same-number-" + kind.lower(), operator_root(platform), serial=number)[:2]
        client = Client(platform, *paths)
        answer = client.request(method, path, raw=b"junk", headers=est.PKCS10)
        client.close()
        assert (answer.status, answer.problem) == (401, "unauthenticated"), (method, path, answer)


# ---- what is another tenant's -------------------------------------------------------------------------


def told(answer):
    return answer.status, {k: v for k, v in answer.headers.items() if k not in ("date", "ratelimit")}, answer.body


@pytest.fixture(scope="module")
def foreign_things(platform):
    """Things of tenant demo, by the parameter of the path that names them."""
    from conftest import make_vin
    vin, device = make_vin(), "MATRIX-FOREIGN"
    vehicle = platform.provision(vin, device).json
    reveal = platform.client("investigator").post("/v1/reveal-requests", {
        "referenceId": vehicle["referenceId"], "purpose": "legal-request", "reason": "for the matrix"}).json
    platform.cli("claim", "add", "matrix-foreign", "--count", "1")
    return {"vin": vin, "device": device, "referenceId": vehicle["referenceId"], "id": reveal["revealRequestId"]}


def foreign_name(things, path):
    if "/clients/" in path:
        return "crm"
    if "/claims/" in path:
        return "matrix-foreign"
    return things["referenceId"] if "{referenceId}" in path else things["id"]


@pytest.mark.parametrize("method, path", [(m, p) for m, p, _ in ROUTES if "{" in p and "{tile}" not in p])
def test_a_foreign_name_in_the_path_answers_as_an_unknown_one(platform, foreign_things, method, path):
    headers = {"Request-Id": str(uuid.uuid4())}
    stranger = platform.client("stranger")
    unknown = ask(stranger, method, path, NOBODY, **headers)
    foreign = ask(stranger, method, path, foreign_name(foreign_things, path), **headers)
    assert unknown.status == 404 and told(unknown) == told(foreign)


@pytest.mark.parametrize("method, path", [(m, p) for m, p, _ in ROUTES if "{referenceId}" in p])
@pytest.mark.parametrize("body", [b"", b"{", b"{}", b'{"attributes": 1}', b'{"csr": "none"}'])
def test_a_bad_body_does_not_tell_them_apart(platform, foreign_things, method, path, body):
    if method == "GET":
        return
    stranger = platform.client("stranger")
    for extra in ({}, {"If-Match": '"1"'}, {"If-Match": "junk"}, {"Idempotency-Key": "\x7f"}, {"Content-Type": "text/plain"}):
        headers = {"Content-Type": "application/json", "Request-Id": str(uuid.uuid4()), **extra}
        unknown = stranger.request(method, filled(path), raw=body, headers=headers)
        foreign = stranger.request(method, filled(path, foreign_things["referenceId"]), raw=body, headers=headers)
        assert told(unknown) == told(foreign), (extra, unknown, foreign)


def digest(vin):
    return hashlib.sha256(vin.encode()).hexdigest()


def test_a_foreign_vehicle_in_a_body_answers_as_an_unknown_one(platform, foreign_things, new_vin):
    stranger, other = platform.client("stranger"), new_vin()
    change = {"deviceId": foreign_things["device"], "newDeviceId": None}
    ask_reveal = {"purpose": "legal-request", "reason": "curiosity"}
    cases = [
        ("/v1/reference-ids/lookup", {"purpose": "customer-service"}, {"vin": foreign_things["vin"]}, {"vin": other}),
        ("/v1/reference-ids/lookup", {"purpose": "customer-service"}, {"hashedVin": digest(foreign_things["vin"])},
         {"hashedVin": digest(other)}),
        ("/v1/reference-ids/lookup-batch", {"purpose": "customer-service"}, {"hashedVins": [digest(foreign_things["vin"])]},
         {"hashedVins": [digest(other)]}),
        ("/v1/tcu-changes", change, {"vin": foreign_things["vin"]}, {"vin": other}),
        ("/v1/tcu-changes", change, {"hashedVin": digest(foreign_things["vin"])}, {"hashedVin": digest(other)}),
        ("/v1/tcu-changes", change, {"referenceId": foreign_things["referenceId"]}, {"referenceId": NOBODY}),
        ("/v1/reveal-requests", ask_reveal, {"referenceId": foreign_things["referenceId"]}, {"referenceId": NOBODY}),
        ("/v1/clients", {"clientId": "x", "scopes": ["admin"], "fingerprints": ["1" * 64]}, {"tenantId": "demo"},
         {"tenantId": "no-such-tenant"}),
    ]
    for path, common, foreign_name_, unknown_name in cases:
        headers = {"Request-Id": str(uuid.uuid4())}
        foreign = stranger.post(path, {**common, **foreign_name_}, headers=headers)
        unknown = stranger.post(path, {**common, **unknown_name}, headers=headers)
        assert told(foreign) == told(unknown), (path, foreign, unknown)
        assert foreign.status == (200 if path.endswith("batch") else 404)


def test_a_foreign_device_is_found_by_nobody_else(platform, foreign_things, new_vin):
    stranger = platform.client("stranger")
    headers = {"Request-Id": str(uuid.uuid4())}
    foreign = stranger.get(f"/v1/vehicles?deviceId={foreign_things['device']}", headers=headers)
    unknown = stranger.get("/v1/vehicles?deviceId=NOBODYS", headers=headers)
    assert foreign.status == 200 and told(foreign) == told(unknown)
    # Tenant by tenant, a device of that name may stand in both; nothing is told of the other one.
    own = stranger.post("/v1/vehicles", {"vin": new_vin(), "deviceId": foreign_things["device"]})
    assert own.status == 201, own
    found = stranger.get(f"/v1/vehicles?deviceId={foreign_things['device']}").json["vehicles"]
    assert [vehicle["referenceId"] for vehicle in found] == [own.json["referenceId"]]


def test_audit_entries_of_another_tenant_are_not_there(platform, foreign_things):
    stranger = platform.client("stranger")
    entries = stranger.get(f"/v1/audit/entries?referenceId={foreign_things['referenceId']}").json["entries"]
    assert {entry["actor"] for entry in entries} <= {"stranger"}
    assert stranger.get("/v1/audit/entries?actor=crm").json["entries"] == []


def test_the_operations_listener_serves_nothing_of_the_api(platform):
    for _, path, _ in ROUTES + DEVICE_ROUTES:
        assert platform.operations(filled(path)).status == 404, path
