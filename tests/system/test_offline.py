"""What the operator does with the daemons stopped: import, backup, restore."""
import concurrent.futures
import json
import re
import resource
import shutil
import signal
import subprocess
import time

import pytest

from installation import PROGRAMS

VIN_SHAPE = re.compile(r"\b(?=[A-HJ-NPR-Z0-9]*[0-9])(?=[A-HJ-NPR-Z0-9]*[A-Z])[A-HJ-NPR-Z0-9]{17}\b")


def fleet(path, vins, extra=()):
    """A CSV of these VINs with devices of their own, then the extra lines."""
    lines = ["vin,deviceId,model", *(f"{vin},fleet-{number},Roadster" for number, vin in enumerate(vins)), *extra]
    path.write_text("".join(line + "\n" for line in lines))
    return path


def rejects(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "line,reason"
    return [(int(line.split(",", 1)[0]), line.split(",", 1)[1]) for line in lines[1:]]


def imported(done):
    return json.loads(done.stdout)


def lookup(platform, vin, client="admin"):
    return platform.client(client).post("/v1/reference-ids/lookup", {"vin": vin, "purpose": "customer-service"})


@pytest.fixture
def stopped(own_platform):
    """A platform that was started once and is stopped."""
    platform = own_platform()
    platform.stop()
    return platform


# ---- import ---------------------------------------------------------------------------------------------


def test_imported_vehicles_are_served(stopped, tmp_path, new_vin):
    vins = [new_vin() for _ in range(50)]
    file = fleet(tmp_path / "fleet.csv", vins, [f"{new_vin()},,\"said \"\"yes\"\", twice\""])
    outcome = imported(stopped.cli("import", file, "--tenant", "demo", "--json"))
    assert (outcome["imported"], outcome["rejected"]) == (51, 0)
    assert not (tmp_path / "fleet.csv.rejects").exists()
    stopped.start()
    answer = lookup(stopped, vins[7])
    assert answer.status == 200, answer
    row = stopped.client("admin").get(f"/v1/vehicles/{answer.json['referenceId']}").json
    assert row["deviceId"] == "fleet-7" and row["state"] == "provisioned"
    assert row["attributes"] == {"model": "Roadster"}
    entries = stopped.client("auditor").get("/v1/audit/entries?action=vehicle.import").json["entries"]
    assert [entry["count"] for entry in entries] == [51]
    assert stopped.cli("audit", "verify").returncode == 0


def test_bad_lines_are_named_by_line_and_reason_alone(stopped, tmp_path, new_vin):
    good = [new_vin() for _ in range(3)]
    other = new_vin()
    file = fleet(tmp_path / "fleet.csv", good, [
        f"{other[:-1]},dev-a,x",               # 5: a character short
        f"{new_vin()},has space,x",            # 6
        f"{new_vin()},dev-c,see {other}",      # 7: a VIN in an attribute
        f"{other},{other},x",                  # 8: the VIN as device ID
        f"{new_vin()},dev-d",                  # 9: a field short
        f"\"{new_vin()},dev-e,x",              # 10: a quote that is not closed
        f"{good[0]},dev-f,x",                  # 11: the VIN of line 2
        f"{new_vin()},fleet-1,x",              # 12: the device of line 3
        "",
        f"{other.lower()},dev-g,x",            # 14: fine
    ])
    done = stopped.cli("import", file, "--tenant", "demo", "--json")
    outcome = imported(done)
    assert (outcome["imported"], outcome["rejected"]) == (4, 8)
    named = rejects(tmp_path / "fleet.csv.rejects")
    assert [line for line, _ in named] == [5, 6, 7, 8, 9, 10, 12, 11] or sorted(line for line, _ in named) == \
        [5, 6, 7, 8, 9, 10, 11, 12]
    reasons = dict(named)
    assert reasons[5] == "vin-invalid" and reasons[7] == "vin-not-allowed" and reasons[8] == "vin-not-allowed"
    assert reasons[6].startswith("value-invalid") and reasons[9].startswith("malformed")
    assert "malformed" in reasons[10]
    assert reasons[11] == "duplicate-vin" and reasons[12] == "duplicate-device"
    written = (tmp_path / "fleet.csv.rejects").read_text() + done.stdout + done.stderr
    assert not VIN_SHAPE.search(written)


def test_check_digit_is_the_tenants_policy(stopped, tmp_path, new_vin):
    vin = new_vin()
    wrong = vin[:8] + ("1" if vin[8] != "1" else "2") + vin[9:]
    file = fleet(tmp_path / "fleet.csv", [wrong])
    assert imported(stopped.cli("import", file, "--tenant", "demo", "--json"))["imported"] == 1


def test_the_same_file_again_is_all_duplicates(stopped, tmp_path, new_vin):
    file = fleet(tmp_path / "fleet.csv", [new_vin() for _ in range(20)])
    assert imported(stopped.cli("import", file, "--tenant", "demo", "--json"))["imported"] == 20
    outcome = imported(stopped.cli("import", file, "--tenant", "demo", "--json"))
    assert (outcome["imported"], outcome["rejected"]) == (0, 20)
    assert {reason for _, reason in rejects(tmp_path / "fleet.csv.rejects")} == {"duplicate-vin"}


@pytest.mark.parametrize("content, told", [
    ("", "empty"), ("VIN,Device\n", "first line"), ("vin,deviceId,vin\n", "repeats"), ("vin,deviceId,\n", "name")])
def test_a_wrong_header_changes_nothing(stopped, tmp_path, content, told):
    file = tmp_path / "fleet.csv"
    file.write_text(content)
    done = stopped.cli("import", file, "--tenant", "demo", check=False)
    assert done.returncode == 1 and told in done.stderr
    file.write_text("vin,deviceId\n")
    assert imported(stopped.cli("import", file, "--tenant", "demo", "--json"))["imported"] == 0


def test_unknown_tenant_and_foreign_reject_file(stopped, tmp_path, new_vin):
    file = fleet(tmp_path / "fleet.csv", [new_vin()])
    assert stopped.cli("import", file, "--tenant", "nobody", check=False).returncode == 1
    kept = tmp_path / "fleet.csv.rejects"
    kept.write_text("my own notes\n")
    assert stopped.cli("import", file, "--tenant", "demo", check=False).returncode == 1
    assert kept.read_text() == "my own notes\n"


def test_import_is_refused_while_the_daemons_run(own_platform, tmp_path, new_vin):
    platform = own_platform()
    done = platform.cli("import", fleet(tmp_path / "fleet.csv", [new_vin()]), "--tenant", "demo", check=False)
    assert done.returncode != 0
    assert "process" in done.stderr or "keyd" in done.stderr, done.stderr
    assert platform.operations("/readyz").status == 200


def kill_once_it_moved(stopped, file, rejects_file, lines, size):
    """SIGKILL as soon as so many rejected lines are written; the exit code. Should that come late, the kernel ends it all
    the same: at the first write beyond `size` of any file."""
    process = subprocess.Popen([PROGRAMS / "vinveil", "import", file, "--tenant", "demo", "--data",
                                stopped.directory], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if rejects_file.exists() and rejects_file.read_bytes().count(b"\n") > lines:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.002)
    return process.wait(60)


def test_a_killed_import_goes_on_where_it_was(stopped, tmp_path, new_vin):
    vins = [new_vin() for _ in range(60000)]
    file = tmp_path / "fleet.csv"
    lines = ["vin,deviceId"]
    for number, vin in enumerate(vins):
        lines.append(f"{vin},killed-{number}")
        if number % 100 == 0:
            lines.append(f"bad,bad-{number}")
    lines.append(f"{vins[3]},again")
    file.write_text("\n".join(lines) + "\n")
    rejects_file = tmp_path / "fleet.csv.rejects"
    killed = [kill_once_it_moved(stopped, file, rejects_file, *wanted) for wanted in ((90, 3 << 20), (290, 5 << 20))]
    assert set(killed) <= {-signal.SIGKILL, -signal.SIGXFSZ}
    done = stopped.cli("import", file, "--tenant", "demo", "--json")
    outcome = imported(done)
    assert (outcome["imported"], outcome["rejected"]) == (60000, 601)
    assert "going on after line" in done.stderr
    named = rejects(rejects_file)
    bad = [number for number, line in enumerate(lines, 1) if line.startswith("bad")]
    assert named == [(line, "vin-invalid") for line in bad] + [(len(lines), "duplicate-vin")]
    stopped.start()
    for number in (0, 31234, 59999):
        answer = lookup(stopped, vins[number])
        row = stopped.client("admin").get(f"/v1/vehicles/{answer.json['referenceId']}").json
        assert row["deviceId"] == f"killed-{number}"
    assert stopped.cli("audit", "verify").returncode == 0


# ---- backup and restore ---------------------------------------------------------------------------------


def set_registry_aside(platform):
    for name in ("registry.db", "registry.db-wal", "registry.db-shm"):
        path = platform.directory / "registry" / name
        if path.exists():
            path.rename(path.with_name(f"lost-{time.monotonic_ns()}-{name}"))


def restore(platform, backup, *options, check=True):
    return platform.cli("restore", "--from", backup, "--json", *options, check=check)


def test_backup_holds_no_key_and_its_files_digests(own_platform, tmp_path, new_vin, new_device):
    platform = own_platform()
    assert platform.provision(new_vin(), new_device()).status == 201
    backup = tmp_path / "backup"
    platform.cli("backup", "--out", backup)
    names = {str(path.relative_to(backup)) for path in backup.rglob("*") if path.is_file()}
    assert {"backup.json", "registry.db", "audit/entries-000000", "audit/checkpoint", "ca/device-root.pem",
            "ca/audit-log.vkey"} <= names
    assert not any(b"PRIVATE KEY" in (backup / name).read_bytes() for name in names)
    secret = (platform.directory / "keyd" / "root.key").read_bytes()
    assert not any(secret in (backup / name).read_bytes() for name in names)
    manifest = json.loads((backup / "backup.json").read_text())
    assert {file["name"] for file in manifest["files"]} == names - {"backup.json"}
    assert platform.cli("backup", "--out", backup, check=False).returncode == 1


def test_backup_under_load_then_restore(own_platform, tmp_path, new_vin, new_device):
    platform = own_platform()
    before = {}
    for _ in range(20):
        vin = new_vin()
        before[vin] = platform.provision(vin, new_device()).json["referenceId"]
    pairs = [(new_vin(), new_device()) for _ in range(60)]
    platform.load_devices(*(device for _, device in pairs))

    def provision(pair):
        client = platform.new_client("factory")
        answer = client.post("/v1/vehicles", {"vin": pair[0], "deviceId": pair[1]})
        client.close()
        return answer.json["referenceId"]

    backup = tmp_path / "backup"
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        meanwhile = pool.map(provision, pairs)
        platform.cli("backup", "--out", backup)
        after = dict(zip((vin for vin, _ in pairs), meanwhile))
    platform.stop()
    set_registry_aside(platform)
    report = json.loads(restore(platform, backup).stdout)
    lost = {finding["referenceId"] for finding in report["findings"] if finding["finding"] == "vehicle-lost"}
    assert report["vehiclesLost"] == len(lost)
    platform.start()
    for vin, reference_id in before.items():
        assert lookup(platform, vin).json["referenceId"] == reference_id
    for vin, reference_id in after.items():
        answer = lookup(platform, vin)
        assert (answer.status == 404) == (reference_id in lost), (answer, reference_id in lost)
        assert answer.status == 404 or answer.json["referenceId"] == reference_id
    assert platform.cli("audit", "verify").returncode == 0


def test_what_the_log_tells_is_replayed(own_platform, tmp_path, new_vin, new_device):
    platform = own_platform()
    admin = platform.client("admin")
    moved, suspended, retired, renewed = (
        {"vin": new_vin(), "device": new_device()} for _ in range(4))
    for vehicle in (moved, suspended, retired, renewed):
        answer = platform.provision(vehicle["vin"], vehicle["device"])
        vehicle.update(id=answer.json["referenceId"], serial=answer.json["credentials"]["serialNumber"])
    backup = tmp_path / "backup"
    platform.cli("backup", "--out", backup)

    other = new_device()
    platform.load_devices(other)
    assert admin.post("/v1/tcu-changes", {"referenceId": moved["id"], "deviceId": moved["device"],
                                          "newDeviceId": other}).status == 200
    new_serial = platform.client("factory").post(
        "/v1/vehicles", {"vin": moved["vin"], "deviceId": other}).json["credentials"]["serialNumber"]
    for vehicle, state in ((suspended, "suspended"), (retired, "decommissioned")):
        assert admin.request("PATCH", f"/v1/vehicles/{vehicle['id']}", {"state": state},
                             headers={"If-Match": "*"}).status == 200
    assert admin.post("/v1/clients/crm/suspend").status == 200
    lost_vin, lost_device = new_vin(), new_device()
    lost = platform.provision(lost_vin, lost_device).json["referenceId"]
    platform.stop()

    set_registry_aside(platform)
    report = json.loads(restore(platform, backup).stdout)
    assert report["vehiclesLost"] == 1 and report["clientsChanged"] == 1
    assert report["certificatesRevoked"] == 2 and report["certificatesEntered"] == 1
    assert [f["referenceId"] for f in report["findings"] if f["finding"] == "vehicle-lost"] == [lost]

    platform.start()
    admin = platform.client("admin")
    rows = {vehicle["id"]: admin.get(f"/v1/vehicles/{vehicle['id']}").json
            for vehicle in (moved, suspended, retired, renewed)}
    assert rows[moved["id"]]["deviceId"] == other
    assert rows[suspended["id"]]["state"] == "suspended"
    assert rows[retired["id"]]["state"] == "decommissioned" and rows[retired["id"]]["deviceId"] is None
    assert rows[renewed["id"]]["deviceId"] == renewed["device"]
    history = admin.get(f"/v1/vehicles/{moved['id']}/history").json["entries"]
    revoked = {entry["serialNumber"] for entry in history if entry["event"] == "certificate-revoked"}
    assert revoked == {moved["serial"], new_serial}
    assert platform.client("crm").post("/v1/reference-ids/lookup",
                                       {"vin": moved["vin"], "purpose": "customer-service"}).status == 403
    crl = platform.operations("/crl/device.crl").body
    text = subprocess.run(["openssl", "crl", "-inform", "DER", "-noout", "-text"], input=crl, capture_output=True,
                          check=True).stdout.decode().lower().replace(":", "")
    assert moved["serial"].lower() in text and new_serial.lower() in text and renewed["serial"].lower() not in text
    again = platform.provision(lost_vin, lost_device)
    assert again.status == 201 and again.json["referenceId"] != lost
    assert platform.cli("audit", "verify").returncode == 0


def test_restore_refuses_what_would_overwrite(own_platform, tmp_path):
    platform = own_platform()
    backup = tmp_path / "backup"
    platform.cli("backup", "--out", backup)
    platform.stop()
    done = restore(platform, backup, check=False)
    assert done.returncode == 1 and "move it away" in done.stderr
    set_registry_aside(platform)
    registry = backup / "registry.db"
    good = registry.read_bytes()
    registry.write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    done = restore(platform, backup, check=False)
    assert done.returncode == 1 and "registry.db" in done.stderr
    assert not (platform.directory / "registry" / "registry.db").exists()
    registry.write_bytes(good)
    restore(platform, backup)
    platform.start()


def test_a_lost_log_needs_accept_loss(own_platform, tmp_path, new_vin, new_device):
    platform = own_platform()
    vin = new_vin()
    reference_id = platform.provision(vin, new_device()).json["referenceId"]
    backup = tmp_path / "backup"
    platform.cli("backup", "--out", backup)
    lost_vin = new_vin()
    assert platform.provision(lost_vin, new_device()).status == 201
    platform.stop()
    set_registry_aside(platform)
    shutil.move(platform.directory / "audit", tmp_path / "lost-audit")
    done = restore(platform, backup, check=False)
    assert done.returncode == 1 and "--accept-loss" in done.stderr
    assert not (platform.directory / "registry" / "registry.db").exists()
    restore(platform, backup, "--accept-loss")
    platform.start()
    assert lookup(platform, vin).json["referenceId"] == reference_id
    assert lookup(platform, lost_vin).status == 404
    assert platform.cli("audit", "verify").returncode == 0


def test_the_log_of_the_backup_serves_when_nothing_happened_since(own_platform, tmp_path, new_vin, new_device):
    platform = own_platform()
    vin = new_vin()
    assert platform.provision(vin, new_device()).status == 201
    platform.wait_checkpoint()
    backup = tmp_path / "backup"
    platform.cli("backup", "--out", backup)
    platform.stop()
    set_registry_aside(platform)
    shutil.rmtree(platform.directory / "audit")
    restore(platform, backup)
    platform.start()
    assert lookup(platform, vin).status == 200
