"""Bad days: full and failing disks, clocks that jump, a key daemon that is away, memory that is not there.

Each time: 503 or a clear message within a bounded time, nothing half made, and recovery without hands.
"""
import errno
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import make_vin
from faults import fill
from installation import PROGRAMS, Client, eventually, patiently
from load import OneShot, hashed
from trail import Registry, checkpoint_size, read_leaves

PURPOSE = {"purpose": "customer-service"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


# What is to be refused in two or three seconds, and on a machine that is busy with something else. Nobody waits for ever.
PATIENCE = 20


def lookup(platform, vin, client=None):
    client = client or platform.client("crm")
    return client.post("/v1/reference-ids/lookup", {"vin": vin, **PURPOSE})


def provisioned(platform, number, device):
    vin = make_vin(number)
    answer = platform.provision(vin, device)
    assert answer.status == 201, answer
    return vin, answer.json["referenceId"]


def assert_unavailable(answer):
    assert answer.status == 503 and answer.problem == "unavailable", answer
    assert int(answer.headers["retry-after"]) >= 1


def wait_until(condition, what, timeout=20):
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(what)


def is_ready(platform):
    return platform.operations("/readyz").status == 200


def assert_whole(platform):
    """Every row has what belongs to it and its leaf; the log verifies."""
    platform.wait_checkpoint()
    assert platform.cli("audit", "verify").returncode == 0
    platform.stop()
    leaves = read_leaves(platform.directory)
    assert len({leaf["leafId"] for leaf in leaves}) == len(leaves)
    named = {leaf["referenceId"] for leaf in leaves if leaf["action"] == "vehicle.provision" and leaf["outcome"] == "allowed"}
    with Registry(platform.directory) as registry:
        assert registry.all("PRAGMA integrity_check") == [("ok",)]
        import uuid
        rows = {str(uuid.UUID(bytes=bytes(r))) for r, in registry.all("SELECT reference_id FROM vehicle")}
        assert rows == named
        for table in ("vin_index", "certificate", "history"):
            assert registry.all(f"SELECT count(*) FROM vehicle WHERE number NOT IN (SELECT vehicle FROM {table})") == [(0,)]


# ---- the key daemon ----------------------------------------------------------------------------------------------


def test_keyd_hangs(own_platform):
    platform = own_platform()
    vin, reference = provisioned(platform, 7_000_001, "F-1")
    platform.load_devices("F-2")
    pid = platform.freeze("vinveil-keyd")
    try:
        for answer in (lambda: lookup(platform, vin),
                       lambda: platform.client("factory").post("/v1/vehicles", {"vin": make_vin(7_000_002), "deviceId": "F-2"})):
            began = time.monotonic()
            assert_unavailable(answer())
            assert time.monotonic() - began < PATIENCE
        ready = platform.operations("/readyz")
        assert ready.status == 503 and ready.json["checks"]["keyService"] == "failing"
        assert platform.operations("/healthz").status == 200
        assert platform.client("factory").get(f"/v1/vehicles/{reference}").status == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: is_ready(platform), "not ready again")
    assert patiently(lambda: lookup(platform, vin)).json == {"referenceId": reference}
    assert patiently(lambda: platform.provision(make_vin(7_000_002), "F-2")).status == 201
    assert_whole(platform)


def test_keyd_dies(own_platform):
    platform = own_platform()
    vin, reference = provisioned(platform, 7_000_011, "F-1")
    pid = platform.kill("vinveil-keyd")
    answer = lookup(platform, vin)
    assert answer.status in (200, 503), answer
    platform.wait_restarted("vinveil-keyd", pid)
    assert patiently(lambda: lookup(platform, vin)).json == {"referenceId": reference}
    assert_whole(platform)


def test_reveals_are_counted_over_a_restart_of_keyd(own_platform):
    platform = own_platform("--reveals-per-hour", "1")
    vin, reference = provisioned(platform, 7_000_021, "F-1")

    def reveal():
        path = "/v1/reveal-requests"
        asked = platform.client("investigator").post(path, {"referenceId": reference, "purpose": "legal-request", "reason": "r"})
        path += "/" + asked.json["revealRequestId"]
        assert platform.client("approver").post(path + "/approve", {}).status == 200
        return patiently(lambda: platform.client("investigator").post(path + "/open", {}))

    assert reveal().status == 200
    pid = platform.kill("vinveil-keyd")
    platform.wait_restarted("vinveil-keyd", pid)
    answer = reveal()
    assert answer.status == 429 and answer.problem == "budget-exhausted", answer


# ---- disks ------------------------------------------------------------------------------------------------------


@pytest.mark.plain
@pytest.mark.parametrize("kind,number", [("sync_errno", errno.EIO), ("write_errno", errno.ENOSPC), ("write_errno", errno.EIO)])
@pytest.mark.parametrize("where", ["/audit/entries", "/registry/"])
def test_failing_disk(own_platform, switch, where, kind, number):
    platform = own_platform(environment=switch.environment)
    vin, reference = provisioned(platform, 7_000_101, "F-1")
    platform.load_devices("F-2", "F-3")
    switch.set(path=where, **{kind: number})
    change = {"vin": make_vin(7_000_102), "deviceId": "F-2"}
    began = time.monotonic()
    assert_unavailable(platform.client("factory").post("/v1/vehicles", change))
    answer = lookup(platform, vin)
    if where == "/registry/":
        assert answer.json == {"referenceId": reference}, answer  # needs no write but to the log
    else:
        assert_unavailable(answer)
        ready = platform.operations("/readyz")
        assert ready.status == 503 and ready.json["checks"]["auditLog"] == "failing", ready
        wait_until(lambda: re.search(f"audit-log.*{os.strerror(number)}", platform.log_path.read_text()), "the log does not say why")
        told = subprocess.run([PROGRAMS / "vinveil", "vehicle", "show", reference, "--data", platform.directory], text=True,
                              capture_output=True, timeout=60)
        assert told.returncode == 3 and re.search("try again in [0-9]+ s; /readyz", told.stderr), told
    assert time.monotonic() - began < PATIENCE
    assert switch.get("hits") > 0
    switch.clear()
    wait_until(lambda: is_ready(platform), "not ready again")
    answer = platform.client("factory").post("/v1/vehicles", change)
    assert answer.status in (200, 201), answer
    assert lookup(platform, vin).json == {"referenceId": reference}
    assert platform.provision(make_vin(7_000_103), "F-3").status == 201
    # A change that was made while the log was away has its leaf now, and not only after a restart.
    wanted = answer.json["referenceId"]
    wait_until(lambda: any(leaf.get("referenceId") == wanted and "serialNumber" in leaf and leaf["outcome"] == "allowed"
                           for leaf in read_leaves(platform.directory)), "the leaf did not follow")
    assert_whole(platform)


@pytest.mark.plain
def test_credentials_that_nobody_got_are_made_anew(own_platform, switch):
    """Committed, and then the log refused the leaf: 503. The same Idempotency-Key must still lead to a key."""
    platform = own_platform(environment=switch.environment)
    platform.load_devices("F-1")
    body, headers = {"vin": make_vin(7_000_110), "deviceId": "F-1"}, {"Idempotency-Key": "once"}
    serials = []
    for _ in range(2):
        switch.set(path="/audit/entries", write_errno=errno.EIO)
        assert_unavailable(platform.client("factory").post("/v1/vehicles", body, headers=headers))
        switch.clear()
        wait_until(lambda: is_ready(platform), "not ready again")
        answer = platform.client("factory").post("/v1/vehicles", body, headers=headers)
        assert answer.status == 200 and "PRIVATE KEY" in answer.json["credentials"]["privateKey"], answer
        serials.append(answer.json["credentials"]["serialNumber"])
    wait_until(lambda: all(leaf["outcome"] == "allowed" for leaf in read_leaves(platform.directory)[-1:]), "no leaf")
    assert_whole(platform)
    with Registry(platform.directory) as registry:
        live = registry.all("SELECT serial FROM certificate WHERE revoked_at IS NULL")
    assert [bytes(serial).hex() for serial, in live] == serials[-1:]


@as_root
def test_full_disk(own_platform, small_disk):
    platform = own_platform(directory=small_disk / "data")
    vin, reference = provisioned(platform, 7_000_201, "F-0")
    platform.load_devices(*(f"F-{n}" for n in range(1, 60)))
    fill(small_disk)
    statuses = set()
    for n in range(1, 40):
        answer = platform.client("factory").post("/v1/vehicles", {"vin": make_vin(7_000_210 + n), "deviceId": f"F-{n}"})
        statuses.add(answer.status)
        if answer.status == 503:
            assert_unavailable(answer)
    assert statuses <= {201, 503} and 503 in statuses, statuses
    assert platform.operations("/healthz").status == 200
    (small_disk / "filler").unlink(missing_ok=True)
    wait_until(lambda: is_ready(platform), "not ready again")
    wait_until(lambda: lookup(platform, vin).status == 200, "no conversion")
    for n in range(1, 40):
        answer = platform.client("factory").post("/v1/vehicles", {"vin": make_vin(7_000_210 + n), "deviceId": f"F-{n}"})
        assert answer.status in (200, 201), answer
    assert lookup(platform, vin).json == {"referenceId": reference}
    assert_whole(platform)


@as_root
def test_full_disk_at_start(small_disk, own_platform):
    platform = own_platform(directory=small_disk / "data")
    vin, reference = provisioned(platform, 7_000_301, "F-1")
    platform.stop()
    fill(small_disk)
    began = time.monotonic()
    platform.start(expect_ready=False)
    if platform.process.poll() is not None:
        assert "space" in platform.log_path.read_text(), platform.log_path.read_text()[-2000:]
        assert time.monotonic() - began < 70
    platform.stop()
    (small_disk / "filler").unlink()
    platform.start()
    assert lookup(platform, vin).json == {"referenceId": reference}


# ---- clocks -----------------------------------------------------------------------------------------------------


@pytest.mark.plain
def test_clock_jumps(own_platform, switch):
    platform = own_platform("--reveals-per-hour", "1", environment=switch.environment)
    vin, reference = provisioned(platform, 7_000_401, "F-1")
    for number, hours in enumerate((-0.5, 5, 0), 2):
        switch.set(clock_offset_ms=int(hours * 3600 * 1000))
        assert lookup(platform, vin).json == {"referenceId": reference}
        provisioned(platform, 7_000_400 + number, f"F-{number}")
        wait_until(lambda: is_ready(platform), "not ready")
        assert platform.operations("/crl/device.crl").status == 200
    switch.clear()
    assert_whole(platform)


@pytest.mark.plain
def test_a_clock_that_goes_back_refills_no_budget(own_platform, switch):
    platform = own_platform("--reveals-per-hour", "1", environment=switch.environment)
    vin, reference = provisioned(platform, 7_000_411, "F-1")

    def reveal():
        path = "/v1/reveal-requests"
        asked = platform.client("investigator").post(path, {"referenceId": reference, "purpose": "legal-request", "reason": "r"})
        assert asked.status == 201, asked
        path += "/" + asked.json["revealRequestId"]
        assert platform.client("approver").post(path + "/approve", {}).status == 200
        return patiently(lambda: platform.client("investigator").post(path + "/open", {})).status

    assert reveal() == 200
    for hours in (-5, -1, 0):
        switch.set(clock_offset_ms=int(hours * 3600 * 1000))
        assert reveal() == 429
        pid = platform.kill("vinveil-keyd")
        platform.wait_restarted("vinveil-keyd", pid)
        assert reveal() == 429


# ---- memory -----------------------------------------------------------------------------------------------------


@pytest.mark.plain
def test_memory_runs_out_at_any_point(own_platform, switch):
    platform = own_platform("--rate-limit", "100000", environment=switch.environment)
    vin, reference = provisioned(platform, 7_000_501, "F-0")
    platform.load_devices(*(f"F-{n}" for n in range(1, 400)))
    pid = platform.info["processes"]["vinveild"]
    crm, factory = platform.new_client("crm", kind=OneShot), platform.new_client("factory", kind=OneShot)
    assert lookup(platform, vin, crm).status == 200
    asked = {}
    for at in [*range(1, 120), *range(120, 400, 7)]:
        for number, work in enumerate((
                lambda: lookup(platform, vin, crm),
                lambda: factory.post("/v1/vehicles", {"vin": make_vin(7_010_000 + at), "deviceId": f"F-{at}"}))):
            switch.set(allocation=at)
            answer = work()
            switch.set(allocation=0)
            status = answer.status if answer is not None else None
            assert status in (None, 200, 201, 503), (at, answer)
            asked[status] = asked.get(status, 0) + 1
    assert platform.operations("/healthz").status == 200
    assert platform.read_info()["processes"]["vinveild"] == pid, platform.log_path.read_text()[-3000:]
    assert switch.get("hits") > 100 and asked.get(503, 0) + asked.get(None, 0) > 20, (switch.get("hits"), asked)
    # Whoever found keyd away by this does not ask it again for a moment.
    eventually("it works again", lambda: lookup(platform, vin).status == 200)
    for at in [*range(1, 120), *range(120, 400, 7)]:
        answer = platform.client("factory").post("/v1/vehicles", {"vin": make_vin(7_010_000 + at), "deviceId": f"F-{at}"})
        assert answer.status in (200, 201), answer
    assert_whole(platform)


# ---- a start that must not be --------------------------------------------------------------------------------------


def refused_start(platform):
    """What `vinveil dev` said when it did not come up."""
    before = platform.log_path.stat().st_size
    began = time.monotonic()
    platform.start(expect_ready=False)
    assert platform.process.poll() not in (None, 0), "it started all the same"
    assert time.monotonic() - began < 60
    with open(platform.log_path) as log:
        log.seek(before)
        return log.read()


@pytest.fixture
def stopped(own_platform):
    """An installation with a few vehicles, stopped."""
    platform = own_platform()
    for n in range(30):
        provisioned(platform, 7_000_601 + n, f"F-{n}")
    platform.stop()
    assert checkpoint_size(platform.directory) == len(read_leaves(platform.directory)) >= 30
    return platform


def damage_registry(directory):
    path = directory / "registry/registry.db"
    content = bytearray(path.read_bytes())
    content[100:2000] = os.urandom(1900)
    path.write_bytes(content)


def cut_log(directory):
    path = directory / "audit/entries-000000"
    content = path.read_bytes().rstrip(b"\0")
    path.write_bytes(content[:len(content) // 2])


def open_key(directory):
    (directory / "keyd/root.key").chmod(0o644)


def cut_key(directory):
    path = directory / "keyd/root.key"
    path.write_bytes(path.read_bytes()[:-5])


def lose_key(directory):
    (directory / "keyd/root.key").unlink()


def damage_state(directory):
    files = [path for path in (directory / "keyd/state").rglob("*") if path.is_file()]
    assert files
    for path in files:
        path.write_bytes(os.urandom(max(64, path.stat().st_size)))


def open_server_key(directory):
    (directory / "tls/server.key").chmod(0o644)


def lose_server_key(directory):
    (directory / "tls/server.key").unlink()


@pytest.mark.parametrize("damage,words", [
    (damage_registry, ["registry"]), (cut_log, ["audit"]), (open_key, ["root.key", "chmod"]),
    (cut_key, ["root.key"]), (lose_key, ["root.key"]), (damage_state, ["keyd"]), (open_server_key, ["server.key", "chmod"]),
    (lose_server_key, ["server.key"])], ids=lambda value: getattr(value, "__name__", ""))
def test_damage_is_told_at_start(stopped, damage, words):
    damage(stopped.directory)
    told = refused_start(stopped)
    assert all(word in told for word in words), told
    assert "Sanitizer" not in told and "signal 11" not in told and "signal 6" not in told


def test_a_changed_entry_is_found(stopped):
    path = stopped.directory / "audit/entries-000000"
    assert stopped.cli("audit", "verify").returncode == 0
    path.write_bytes(path.read_bytes().replace(b'"factory"', b'"fbctory"', 1))
    done = stopped.cli("audit", "verify", check=False)
    assert done.returncode != 0, done.stdout


def test_registry_locked_by_another(stopped):
    stopped.start()
    done = subprocess.run([PROGRAMS / "vinveild", "--config", stopped.directory / "vinveild.conf"], capture_output=True,
                          text=True, timeout=90)
    assert done.returncode != 0 and ("another" in done.stderr or "in use" in done.stderr), done.stderr


def test_port_in_use(stopped):
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", stopped.port_base))
        taken.listen()
        told = refused_start(stopped)
    assert str(stopped.port_base) in told and "use" in told, told


@as_root
def test_read_only_directory(stopped):
    subprocess.run(["mount", "--bind", stopped.directory, stopped.directory], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", stopped.directory], check=True)
        told = refused_start(stopped)
    finally:
        subprocess.run(["umount", "-l", stopped.directory], check=True)
    assert "Read-only file system" in told, told
    stopped.start()


@pytest.mark.parametrize("line,words", [
    ("[server]\nport = 99999999\n", ["line", "port"]), ("[server]\nport = http\n", ["line", "port"]),
    ("[server]\nprot = 8443\n", ["line", "prot"]), ("[sever]\nport = 8443\n", ["sever"]),
    ("[tls]\nallow_tls12 = perhaps\n", ["line", "allow_tls12"]), ("no sense\n", ["line"])])
def test_bad_configuration(stopped, line, words):
    config = stopped.directory / "vinveild.conf"
    number = config.read_text().count("\n") + line.count("\n")
    config.write_text(config.read_text() + line)
    done = subprocess.run([PROGRAMS / "vinveild", "--config", config], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0
    line_number = number - 1 if words == ["sever"] else number  # an unknown section is told where it begins
    assert f"{config}:{line_number}:" in done.stderr, done.stderr
    assert all(word in done.stderr for word in words if word != "line"), done.stderr


@pytest.mark.parametrize("key", ["certificate", "registry", "socket"])
def test_missing_configuration(stopped, key):
    config = stopped.directory / "vinveild.conf"
    config.write_text("".join(line for line in config.read_text().splitlines(keepends=True) if not line.startswith(key)))
    done = subprocess.run([PROGRAMS / "vinveild", "--config", config], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and str(config) in done.stderr and key in done.stderr, done.stderr
    done = subprocess.run([PROGRAMS / "vinveil-keyd", "--config", stopped.directory / "not-there.conf"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "not-there.conf" in done.stderr, done.stderr


# ---- an end that loses nothing ---------------------------------------------------------------------------------------


def is_listening(platform):
    try:
        socket.create_connection(("127.0.0.1", platform.port_base), 5).close()
        return True
    except OSError:
        return False


def test_what_is_in_flight_finishes(own_platform):
    """Requests that the server has begun to read are answered; then it ends."""
    platform = own_platform("--rate-limit", "100000")
    platform.load_devices(*(f"F-{n}" for n in range(20)))
    halves = []
    for n in range(20):
        client = platform.new_client("factory", timeout=30)
        assert client.get("/v1/vehicles").status == 200
        body = json.dumps({"vin": make_vin(7_000_701 + n), "deviceId": f"F-{n}"}).encode()
        client.connection.putrequest("POST", "/v1/vehicles")
        client.connection.putheader("Content-Type", "application/json")
        client.connection.putheader("Content-Length", str(len(body)))
        client.connection.putheader("Expect", "100-continue")
        client.connection.endheaders()
        heard = b""
        while not heard.endswith(b"\r\n\r\n"):  # the server has read the head
            heard += client.connection.sock.recv(1)
        assert heard.startswith(b"HTTP/1.1 100 "), heard
        client.connection.send(body[:20])
        halves.append((client, body))
    codes = []
    stopper = threading.Thread(target=lambda: codes.append(platform.stop_only()))
    stopper.start()
    eventually("it takes no new connections", lambda: not is_listening(platform))
    statuses = []
    for client, body in halves:
        client.connection.send(body[20:])
    for client, _ in halves:
        statuses.append(client.connection.getresponse().status)
    assert statuses == [201] * 20
    for client, _ in halves:
        client.close()
    stopper.join(30)
    assert codes == [0]
    assert len(read_leaves(platform.directory)) >= 20
    with Registry(platform.directory) as registry:
        assert registry.all("SELECT count(*) FROM vehicle") == [(20,)]
