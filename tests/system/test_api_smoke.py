"""The API end to end, a path each: what is documented is there and answers as it says."""
import hashlib
import json
import re
import threading
import time
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import wire
from installation import eventually

NOBODY = "7d444840-9dc0-41d1-b245-5ffdce74fad2"


def digest(vin):
    return hashlib.sha256(vin.encode()).hexdigest()


def make_csr():
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def lookup(platform, client="crm", purpose="customer-service", **name):
    return platform.client(client).post("/v1/reference-ids/lookup", {**name, "purpose": purpose})


def etag_of(platform, reference_id):
    return platform.client("factory").get(f"/v1/vehicles/{reference_id}").headers["etag"]


# ---- provisioning and conversion ----------------------------------------------------------------------


def test_a_new_vehicle_gets_a_reference_id_and_credentials(platform, new_vin, new_device):
    device = new_device()
    answer = platform.provision(new_vin(), device, attributes={"model": "roadster"})
    assert answer.status == 201
    assert answer.json["deviceId"] == device and answer.json["state"] == "provisioned"
    certificate = x509.load_pem_x509_certificate(answer.json["credentials"]["certificate"].encode())
    common_name = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    assert common_name == answer.json["referenceId"] == answer.json["connection"]["clientId"]
    assert uuid.UUID(common_name).version == 4
    row = platform.client("factory").get(answer.headers["location"])
    assert row.json["attributes"] == {"model": "roadster"} and row.headers["etag"] == answer.headers["etag"]


def test_a_known_vehicle_is_validated(platform, demo_vehicle, new_device):
    vin, device, vehicle = demo_vehicle
    again = platform.provision(vin, device)
    assert again.status == 200 and "credentials" not in again.json
    assert again.json["referenceId"] == vehicle["referenceId"]
    other_device = new_device()
    other = platform.provision(vin, other_device)
    assert (other.status, other.problem) == (409, "vehicle-has-other-device")
    assert f"another device than {other_device};" in other.json["detail"] and device not in other.json["detail"]


def test_provisioning_refuses_what_is_wrong(platform, demo_vehicle, new_vin, new_device):
    _, device, _ = demo_vehicle
    post = platform.client("factory").post
    fresh = new_device()
    platform.load_devices(fresh)
    cases = [
        ({"vin": "SHORT", "deviceId": fresh}, 422, "vin-invalid"),
        ({"vin": new_vin(), "deviceId": "NOT-IN-MANIFEST"}, 422, "device-unknown"),
        ({"vin": new_vin(), "deviceId": device}, 409, "device-in-use"),
        ({"vin": new_vin(), "deviceId": fresh, "csr": "no CSR"}, 422, "csr-invalid"),
        ({"vin": new_vin(), "deviceId": fresh, "attributes": {"note": new_vin()}}, 422, "vin-not-allowed"),
        ({"vin": new_vin(), "deviceId": fresh, "colour": 1}, 400, "malformed"),
        ({"deviceId": fresh}, 400, "malformed"),
        ([], 400, "malformed"),
    ]
    for body, status, problem in cases:
        answer = post("/v1/vehicles", body)
        assert (answer.status, answer.problem) == (status, problem), answer
        assert answer.headers["content-type"] == "application/problem+json"
        if problem.startswith("device-"):
            assert f"The device {body['deviceId']} " in answer.json["detail"], "which one?"


def test_concurrent_provisioning_makes_one_vehicle(platform, new_vin, new_device):
    vin, device, answers = new_vin(), new_device(), []
    platform.load_devices(device)

    def provision():
        client = platform.new_client("factory")
        answers.append(client.post("/v1/vehicles", {"vin": vin, "deviceId": device}))
        client.close()

    threads = [threading.Thread(target=provision) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [200] * 7 + [201]
    assert len({answer.json["referenceId"] for answer in answers}) == 1


def test_conversion_finds_by_vin_and_by_hash(platform, demo_vehicle):
    vin, _, vehicle = demo_vehicle
    expected = {"referenceId": vehicle["referenceId"]}
    for name in ({"vin": vin}, {"vin": f" {vin.lower()} "}, {"hashedVin": digest(vin)},
                 {"hashedVin": digest(vin).upper()}):
        answer = lookup(platform, **name)
        assert (answer.status, answer.json) == (200, expected), name


def test_unknown_and_foreign_vehicles_look_alike(platform, demo_vehicle, new_vin):
    vin, _, vehicle = demo_vehicle
    stranger = platform.client("stranger")
    request_id = str(uuid.uuid4())
    headers = {"Request-Id": request_id}

    def told(answer):
        fields = {k: v for k, v in answer.headers.items() if k not in ("date", "ratelimit")}
        return answer.status, fields, answer.body

    foreign = stranger.get(f"/v1/vehicles/{vehicle['referenceId']}", headers=headers)
    unknown = stranger.get(f"/v1/vehicles/{NOBODY}", headers=headers)
    none = stranger.get("/v1/vehicles/no-uuid", headers=headers)
    assert foreign.status == 404 and told(foreign) == told(unknown) == told(none)
    assert foreign.headers["request-id"] == request_id == foreign.json["requestId"]
    body = {"purpose": "customer-service"}
    by_vin = stranger.post("/v1/reference-ids/lookup", {**body, "vin": vin}, headers=headers)
    by_other = stranger.post("/v1/reference-ids/lookup", {**body, "vin": new_vin()}, headers=headers)
    assert by_vin.status == 404 and told(by_vin) == told(by_other)


def test_conversion_judges_purpose_and_body(platform, demo_vehicle):
    vin, _, _ = demo_vehicle
    assert lookup(platform, vin=vin, purpose="curiosity").problem == "purpose-not-allowed"
    refused = lookup(platform, client="factory", vin=vin)
    assert refused.problem == "scope-missing" and b"refid:lookup" in refused.body, refused
    assert lookup(platform).problem == "malformed"
    assert lookup(platform, vin=vin, hashedVin=digest(vin)).problem == "malformed"
    assert lookup(platform, vin="1M8GDM9AXKP04278O").problem == "vin-invalid"
    assert lookup(platform, hashedVin="abc").problem == "value-invalid"


def test_a_batch_answers_in_the_order_asked(platform, demo_vehicle, new_vin):
    vin, _, vehicle = demo_vehicle
    hashed = [digest(new_vin()), digest(vin), digest(new_vin()), digest(vin)]
    answer = platform.client("crm").post("/v1/reference-ids/lookup-batch",
                                         {"hashedVins": hashed, "purpose": "customer-service"})
    assert answer.status == 200
    found = {"referenceId": vehicle["referenceId"]}
    assert answer.json == {"results": [{"referenceId": None}, found, {"referenceId": None}, found]}
    for count in (0, 101):
        answer = platform.client("crm").post("/v1/reference-ids/lookup-batch",
                                             {"hashedVins": hashed[:1] * count, "purpose": "customer-service"})
        assert (answer.status, answer.problem) == (422, "value-invalid")


# ---- vehicles -----------------------------------------------------------------------------------------


def test_vehicles_are_listed_page_by_page(platform, demo_vehicle, new_vin, new_device):
    _, device, vehicle = demo_vehicle
    for _ in range(3):
        platform.provision(new_vin(), new_device())
    client, seen, cursor = platform.client("factory"), [], ""
    while True:
        page = client.get(f"/v1/vehicles?limit=2{cursor}").json
        seen += [row["referenceId"] for row in page["vehicles"]]
        if "nextCursor" not in page:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert len(seen) == len(set(seen)) >= 4 and vehicle["referenceId"] in seen
    by_device = client.get(f"/v1/vehicles?deviceId={device}").json["vehicles"]
    assert [row["referenceId"] for row in by_device] == [vehicle["referenceId"]]
    assert platform.client("stranger").get(f"/v1/vehicles?deviceId={device}").json == {"vehicles": []}
    for query in ("state=flying", "limit=0", "limit=x", "cursor=-1", "colour=red", "state=active&state=active"):
        assert client.get(f"/v1/vehicles?{query}").status == 400, query


def test_a_page_that_cannot_be_is_told_with_what_can(platform):
    get = platform.client("factory").get
    for value in ("0", "1001", "-1", "many"):
        answer = get(f"/v1/vehicles?limit={value}")
        assert answer.status == 400 and "limit must be a whole number from 1 to 1000." in answer.json["detail"], answer
    for value in ("0", "somewhere"):
        answer = get(f"/v1/vehicles?cursor={value}")
        assert answer.status == 400 and "cursor must be the nextCursor of an earlier answer" in answer.json["detail"]


def test_changing_a_vehicle_needs_its_version(platform, demo_vehicle):
    path = f"/v1/vehicles/{demo_vehicle[2]['referenceId']}"
    patch = lambda body, headers: platform.client("factory").request("PATCH", path, body, headers=headers)
    tag = etag_of(platform, demo_vehicle[2]["referenceId"])
    assert patch({"attributes": {"a": 1}}, {}).status == 428
    assert patch({"attributes": {"a": 1}}, {"If-Match": '"999"'}).status == 412
    answer = patch({"attributes": {"a": 1, "b": None}}, {"If-Match": tag})
    assert answer.status == 200 and answer.json["attributes"] == {"a": 1} and answer.headers["etag"] != tag
    assert patch({"attributes": {"a": 1}}, {"If-Match": tag}).status == 412
    assert patch({}, {"If-Match": "*"}).status == 400
    assert patch({"state": "flying"}, {"If-Match": "*"}).status == 422
    assert patch({"state": "suspended"}, {"If-Match": "*"}).json["state"] == "suspended"
    assert patch({"state": "provisioned"}, {"If-Match": "*"}).json["state"] == "provisioned"


def test_history_tells_newest_first(platform, demo_vehicle):
    reference_id = demo_vehicle[2]["referenceId"]
    answer = platform.client("factory").get(f"/v1/vehicles/{reference_id}/history")
    assert answer.status == 200
    assert {entry["event"] for entry in answer.json["entries"]} == {"provisioned", "certificate-issued"}
    page = platform.client("factory").get(f"/v1/vehicles/{reference_id}/history?limit=1").json
    assert len(page["entries"]) == 1 and "nextCursor" in page


def test_a_certificate_is_renewed_from_a_csr(platform, demo_vehicle):
    vin, _, vehicle = demo_vehicle
    path = f"/v1/vehicles/{vehicle['referenceId']}/certificates"
    post = platform.client("factory").post
    answer = post(path, {"csr": make_csr()})
    assert answer.status == 201 and "privateKey" not in answer.json
    assert post(path, {"csr": make_csr()}).problem == "certificate-limit"
    answer = post(path, {"csr": make_csr(), "revokeOthers": True, "reason": "keyCompromise"})
    assert answer.status == 201
    history = platform.client("factory").get(f"/v1/vehicles/{vehicle['referenceId']}/history").json["entries"]
    assert [e["reason"] for e in history if e["event"] == "certificate-revoked"] == ["keyCompromise"] * 2
    assert post(f"/v1/vehicles/{NOBODY}/certificates", {"csr": make_csr()}).status == 404


def test_a_tcu_is_changed_and_deleted(platform, demo_vehicle, new_device):
    vin, device, vehicle = demo_vehicle
    fresh = new_device()
    platform.load_devices(fresh)
    post = platform.client("service-center").post
    change = {"hashedVin": digest(vin), "deviceId": device, "newDeviceId": fresh}
    for _ in range(2):  # repeating a completed change changes nothing
        answer = post("/v1/tcu-changes", change)
        assert answer.status == 200 and answer.json["deviceId"] == fresh
        assert answer.json["referenceId"] == vehicle["referenceId"]
    name = {"referenceId": vehicle["referenceId"]}
    mismatch = post("/v1/tcu-changes", {**name, "deviceId": device, "newDeviceId": None})
    assert mismatch.problem == "device-mismatch" and mismatch.json["detail"] == f"The vehicle's device is not {device}."
    unnamed = post("/v1/tcu-changes", {**name, "deviceId": None, "newDeviceId": device})
    assert unnamed.problem == "device-mismatch" and "deviceId must name it" in unnamed.json["detail"]
    assert fresh not in mismatch.json["detail"] + unnamed.json["detail"], "it was not the request that said so"
    assert post("/v1/tcu-changes", {**name, "deviceId": fresh, "newDeviceId": fresh}).problem == "device-unchanged"
    assert post("/v1/tcu-changes", {**name, "deviceId": fresh}).status == 400
    answer = post("/v1/tcu-changes", {**name, "deviceId": fresh, "newDeviceId": None})
    assert answer.status == 200 and answer.json["deviceId"] is None

    def is_listed():
        crl = x509.load_der_x509_crl(platform.operations("/crl/device.crl").body)
        return vehicle["credentials"]["serialNumber"] in {f"{entry.serial_number:032x}" for entry in crl}
    eventually("its certificate is on the CRL", is_listed)


# ---- devices ------------------------------------------------------------------------------------------


def test_a_manifest_is_judged_line_by_line(platform, new_device):
    good = [new_device() for _ in range(1500)]
    lines = [json.dumps({"deviceId": device}) for device in good]
    lines[700:700] = ["not JSON", json.dumps({"deviceId": ""}), json.dumps({"deviceId": good[0]})]
    answer = platform.client("factory").post("/v1/devices", raw="\n".join(lines).encode(),
                                             headers={"Content-Type": "application/x-ndjson"})
    assert answer.status == 200
    assert (answer.json["accepted"], answer.json["duplicates"]) == (1500, 1)
    assert [entry["line"] for entry in answer.json["rejected"]] == [701, 702]


def test_a_manifest_cut_off_stands_up_to_the_last_whole_line(platform, new_device):
    devices = [new_device() for _ in range(700)]
    lines = b"".join(json.dumps({"deviceId": device}).encode() + b"\n" for device in devices)
    client, request_id = platform.new_client("factory"), str(uuid.uuid4())
    client.get("/openapi.json")  # the handshake is over
    client.connection.putrequest("POST", "/v1/devices")
    client.connection.putheader("Content-Type", "application/x-ndjson")
    client.connection.putheader("Content-Length", str(len(lines) + 1000))
    client.connection.putheader("Request-Id", request_id)
    client.connection.endheaders()
    client.connection.send(lines + b'{"deviceId":"CUT')
    wire.cut_off(client.connection.sock)
    client.close()
    # A leaf for each part that is committed, and one for the whole.
    eventually("the server has seen its end", lambda: 700 in [
        entry.get("count") for entry in entries(platform, actor="factory", action="device.manifest")
        if entry["requestId"] == request_id])
    again = platform.load_devices(*devices).json
    assert (again["accepted"], again["duplicates"], again["rejectedCount"]) == (0, 700, 0)


def test_a_manifest_needs_its_type_and_scope(platform, new_device):
    line = json.dumps({"deviceId": new_device()}).encode()
    headers = {"Content-Type": "application/json"}
    assert platform.client("factory").post("/v1/devices", raw=line, headers=headers).status == 415
    headers = {"Content-Type": "application/x-ndjson"}
    assert platform.client("crm").post("/v1/devices", raw=line * 100000, headers=headers).problem == "scope-missing"


# ---- reveal -------------------------------------------------------------------------------------------


def test_a_reveal_takes_two(platform, demo_vehicle):
    vin, _, vehicle = demo_vehicle
    ask = {"referenceId": vehicle["referenceId"], "purpose": "legal-request", "reason": "court order"}
    asker, approver = platform.client("investigator"), platform.client("approver")
    answer = asker.post("/v1/reveal-requests", ask)
    assert (answer.status, answer.json["status"]) == (201, "pending")
    path = f"/v1/reveal-requests/{answer.json['revealRequestId']}"
    assert asker.post(f"{path}/open").problem == "reveal-not-approved"
    assert platform.client("admin").post("/v1/reveal-requests", ask).status == 201
    assert approver.post(f"{path}/approve").json["status"] == "approved"
    assert approver.get(path).json["approvedBy"] == "approver"
    opened = asker.post(f"{path}/open")
    assert (opened.status, opened.json) == (200, {"vin": vin})
    assert asker.post(f"{path}/open").status == 410
    assert asker.post(f"/v1/reveal-requests/{NOBODY}/open").status == 404
    assert platform.client("stranger").get(path).status == 404


def test_nobody_approves_his_own_reveal(platform, demo_vehicle):
    ask = {"referenceId": demo_vehicle[2]["referenceId"], "purpose": "legal-request", "reason": "curiosity"}
    admin = platform.client("admin")
    path = f"/v1/reveal-requests/{admin.post('/v1/reveal-requests', ask).json['revealRequestId']}"
    assert admin.post(f"{path}/approve").problem == "same-person"


# ---- audit --------------------------------------------------------------------------------------------


def entries(platform, client="auditor", **filters):
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    answer = platform.client(client).get(f"/v1/audit/entries?{query}")
    assert answer.status == 200, answer
    return answer.json["entries"]


def test_every_request_of_a_client_has_its_leaf(platform, demo_vehicle):
    vin, _, vehicle = demo_vehicle
    request_id = str(uuid.uuid4())
    platform.client("crm").post("/v1/reference-ids/lookup", {"vin": vin, "purpose": "customer-service"},
                                headers={"Request-Id": request_id})
    entry = entries(platform, actor="crm", action="reference-id.lookup", limit=1)[0]
    assert entry["requestId"] == request_id and entry["referenceId"] == vehicle["referenceId"]
    assert (entry["outcome"], entry["purpose"], entry["tenantId"]) == ("allowed", "customer-service", "demo")
    platform.client("crm").get("/v1/clients", headers={"Request-Id": request_id})
    entry = entries(platform, actor="crm", outcome="refused", limit=1)[0]
    assert (entry["action"], entry["problem"], entry["requestId"]) == ("client.list", "scope-missing", request_id)


def test_a_tenant_reads_only_its_own_entries(platform, demo_vehicle):
    platform.client("stranger").get("/v1/vehicles")
    own, foreign = entries(platform, client="stranger"), entries(platform)
    assert {entry["actor"] for entry in own} == {"stranger"}
    assert "stranger" not in {entry.get("actor") for entry in foreign}


def test_an_access_report_names_who_converted_it(platform, demo_vehicle):
    vin, device, vehicle = demo_vehicle
    lookup(platform, vin=vin)
    platform.provision(vin, device)  # known by now: naming it by VIN is a conversion (rule 7)
    report = platform.client("auditor").get(f"/v1/vehicles/{vehicle['referenceId']}/access-report")
    assert report.status == 200
    assert [(e["actor"], e["action"]) for e in report.json["entries"]] == [
        ("factory", "vehicle.provision"), ("crm", "reference-id.lookup")]
    assert platform.client("auditor").get(f"/v1/vehicles/{NOBODY}/access-report").status == 404


def test_the_log_is_served_as_tiles(platform, demo_vehicle):
    auditor = platform.client("auditor")
    platform.wait_checkpoint()
    note = auditor.get("/v1/audit/log/checkpoint")
    assert note.status == 200
    size = int(note.body.split(b"\n")[1])
    width = min(size, 256)
    name = f"entries/000{'.p/%d' % width if width < 256 else ''}"
    bundle = auditor.get(f"/v1/audit/log/tile/{name}")
    assert bundle.status == 200 and bundle.body[2:3] == b"{"
    for wrong in ("entries/0", "64/000", "00/000", "entries/x000/000", "0/000.p/0", "0/000.p/256", "0/999", "x"):
        assert auditor.get(f"/v1/audit/log/tile/{wrong}").status == 404, wrong
    assert platform.client("crm").get("/v1/audit/log/checkpoint").status == 403


# ---- clients and tenants ------------------------------------------------------------------------------


def test_a_client_is_registered_suspended_and_resumed(platform):
    admin = platform.client("admin")
    fingerprint = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
    name = f"app-{uuid.uuid4().hex[:8]}"
    body = {"clientId": name, "scopes": ["vehicle:read"], "fingerprints": [fingerprint]}
    answer = admin.post("/v1/clients", body)
    assert answer.status == 201 and answer.json["tenantId"] == "demo" and answer.json["state"] == "active"
    assert admin.post("/v1/clients", body).problem == "already-exists"
    path = f"/v1/clients/{name}"
    assert admin.post(f"{path}/suspend").json["state"] == "suspended"
    assert admin.post(f"{path}/resume", {}).json["state"] == "active"
    second = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
    assert admin.post(f"{path}/certificates", {"fingerprint": second}).json["fingerprints"] == [fingerprint, second]
    assert admin.post(f"{path}/certificates", {"fingerprint": digest("x")}).problem == "certificate-limit"
    answer = admin.request("DELETE", f"{path}/certificates/{fingerprint}")
    assert (answer.status, answer.json["fingerprints"]) == (200, [second])
    assert admin.request("DELETE", f"{path}/certificates/{fingerprint}").status == 404
    assert platform.client("stranger").get(path).status == 404
    clients = platform.client("stranger").get("/v1/clients").json["clients"]
    assert [client["clientId"] for client in clients] == ["stranger"]


def test_a_suspended_client_is_shut_out_at_once(own_platform):
    platform = own_platform()
    assert platform.client("crm").get("/v1/vehicles").status == 200
    assert platform.client("admin").post("/v1/clients/crm/suspend").status == 200
    answer = platform.client("crm").get("/v1/vehicles")
    assert (answer.status, answer.problem) == (403, "client-suspended")
    assert platform.client("admin").post("/v1/clients/crm/resume").status == 200
    assert platform.client("crm").get("/v1/vehicles").status == 200


def test_tenants_are_made_by_the_platform_scope(platform):
    name = f"brand-{uuid.uuid4().hex[:8]}"
    admin = platform.client("admin")
    answer = admin.post("/v1/tenants", {"tenantId": name, "checkDigitPolicy": "enforce"})
    assert answer.status == 201
    assert (answer.json["checkDigitPolicy"], answer.json["manifestRequired"]) == ("enforce", True)
    assert admin.post("/v1/tenants", {"tenantId": name}).problem == "already-exists"
    assert name in {tenant["tenantId"] for tenant in admin.get("/v1/tenants").json["tenants"]}
    assert platform.client("stranger").get("/v1/tenants").status == 403


# ---- the protocol around it ---------------------------------------------------------------------------


def test_idempotency_key_answers_again_without_doing_again(platform, new_vin, new_device):
    device, other = new_device(), new_device()
    platform.load_devices(device, other)
    post = platform.client("factory").post
    body = {"vin": new_vin(), "deviceId": device, "csr": make_csr()}
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = post("/v1/vehicles", body, headers=key), post("/v1/vehicles", body, headers=key)
    assert (first.status, second.status) == (201, 201) and first.body == second.body
    assert post("/v1/vehicles", {**body, "deviceId": other}, headers=key).problem == "idempotency-mismatch"
    # With a private key in the answer nothing is kept: the certificate is replaced.
    body, key = {"vin": new_vin(), "deviceId": other}, {"Idempotency-Key": str(uuid.uuid4())}
    first, second = post("/v1/vehicles", body, headers=key), post("/v1/vehicles", body, headers=key)
    assert (first.status, second.status) == (201, 201)
    assert first.json["referenceId"] == second.json["referenceId"]
    assert first.json["credentials"]["serialNumber"] != second.json["credentials"]["serialNumber"]


def test_request_ids_from_outside_are_kept_when_they_are_uuids(platform):
    request_id = str(uuid.uuid4())
    answer = platform.client().get("/v1/vehicles", headers={"Request-Id": request_id})
    assert answer.status == 401 and answer.headers["request-id"] == request_id
    for other in ("1M8GDM9AXKP042788", "x" * 100, ""):
        answer = platform.client().get("/v1/vehicles", headers={"Request-Id": other})
        assert uuid.UUID(answer.headers["request-id"]).version == 4 and answer.headers["request-id"] != other


def test_methods_types_and_sizes_are_judged(platform):
    crm = platform.client("crm")
    answer = crm.request("PUT", "/v1/vehicles")
    assert (answer.status, answer.problem) == (405, "method-not-allowed")
    assert set(re.split(", *", answer.headers["allow"])) == {"GET", "HEAD", "POST"}
    answer = crm.request("HEAD", "/v1/vehicles")
    assert answer.status == 200 and answer.body == b""
    path = "/v1/reference-ids/lookup"
    assert crm.post(path, raw=b"{}", headers={"Content-Type": "text/plain"}).status == 415
    assert crm.post(path, raw=b"{}").status == 415
    headers = {"Content-Type": "application/json"}
    assert crm.post(path, raw=b"{", headers=headers).status == 400
    assert crm.post(path, raw=b"", headers=headers).status == 400
    assert crm.post(path, raw=b" " * 100000, headers=headers).status == 413
    for path in ("/healthz", "/metrics", "/readyz", "/crl/device.crl", "/v2", "/v1/signals", "/"):
        assert crm.get(path).status == 404, path


def test_rates_are_limited_and_told(own_platform):
    platform = own_platform("--rate-limit", "5")
    with wire.connect(platform, "crm") as connection:  # all at once: five a second are given back
        connection.sendall(wire.head("GET", "/v1/vehicles") * 60)
        answers = wire.read_answers(connection, 60)
    assert answers[0].headers["ratelimit-policy"] == '"default";q=10;w=2'
    assert re.fullmatch(r'"default";r=9;t=1', answers[0].headers["ratelimit"])
    refused = [answer for answer in answers if answer.status == 429]
    assert refused and refused[0].problem == "rate-limited" and int(refused[0].headers["retry-after"]) >= 1
    hashed = [digest(str(i)) for i in range(20)]
    answer = platform.client("crm").post("/v1/reference-ids/lookup-batch", {"hashedVins": hashed, "purpose": "customer-service"})
    assert answer.status == 429

    def all_are_counted():
        counted = [e for e in entries(platform, outcome="refused") if e.get("problem") == "rate-limited"]
        return sum(entry["count"] for entry in counted) == len(refused) + 1
    eventually("each refusal is counted once", all_are_counted, pause=0.4)


def test_refusals_before_authentication_are_coalesced(own_platform):
    platform = own_platform()

    def metrics():
        return platform.operations("/metrics").body.decode()

    def log_size():
        return int(re.search(r"^vinveil_audit_log_size (\d+)$", metrics(), re.M)[1])
    before, began = log_size(), time.monotonic()
    for _ in range(50):
        assert platform.client().get("/v1/vehicles").status == 401
    eventually("they are in the log", lambda: log_size() > before)
    assert "vinveil_unauthenticated_total 50" in metrics()
    assert log_size() - before <= time.monotonic() - began + 2, "more than one leaf a second"


def test_the_document_describes_what_is_served(platform):
    answer = platform.client().get("/openapi.json")
    assert answer.status == 200 and answer.json["openapi"].startswith("3.1")
    for path, item in answer.json["paths"].items():
        for method, operation in item.items():
            names = re.sub(r"\{[a-zA-Z]+\}", NOBODY, path)
            told = platform.client("admin").request(method.upper(), names)
            assert told.status != 405 and str(told.status) in operation["responses"], (method, path, told)
            if operation["security"]:
                assert platform.client().request(method.upper(), names).status == 401
