"""What is away, full or slow on the vehicles' side: a clear answer, nothing lost, recovery without hands."""
import errno
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from certificates import make_csr
from conftest import make_vin
from driving import stored_numbers, wait_stored
from faults import fill
from installation import eventually, freeze
from mqtt import Mqtt, Vehicle
from test_vehicle_crash import children, wait_ready

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def vehicle(platform, tmp_path):
    made = Vehicle(platform, tmp_path, make_vin(), f"FAULT-{time.monotonic_ns()}")
    yield made
    made.close()


def latest(platform, vehicle, name):
    answer = platform.client("crm").get(f"/v1/vehicles/{vehicle.id}/signals/latest")
    return answer.json["signals"].get(name, {}).get("value") if answer.status == 200 else None


def stop(platform, name):
    pid = children(platform)[name[:15]]
    freeze(pid)
    return pid


def test_ingest_away_nothing_is_lost_and_the_broker_goes_on(platform, vehicle):
    connection = vehicle.connect()
    pid = stop(platform, "vinveil-ingest")
    try:
        for number in range(50):
            connection.send_signals({"Vehicle.Speed": number})
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually("what was sent meanwhile is stored", lambda: latest(platform, vehicle, "Vehicle.Speed") == 49)


def test_the_broker_refuses_when_nobody_confirms_what_is_revoked(own_platform, tmp_path):
    """Stale after 10 seconds: new connections are refused, live ones kept; back by itself."""
    platform = own_platform()
    vehicle = Vehicle(platform, tmp_path, make_vin(), "STALE-1")
    other = Vehicle(platform, tmp_path, make_vin(), "STALE-2")
    live = vehicle.connect()
    pid = stop(platform, "vinveild")
    try:
        eventually("a new connection is refused", lambda: refused(other), 60)
        live.send_signals({"Vehicle.Speed": 1.5})
        assert not live.closed.is_set(), "a live connection was closed"
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_ready(platform)
    eventually("connections are taken again", lambda: not refused(other))
    vehicle.close()
    other.close()


def refused(vehicle):
    connection = vehicle.connection()
    code = connection.connect(expect=None)
    connection.close()
    return code != 0


def test_commands_without_a_broker_wait(own_platform, tmp_path):
    platform = own_platform()
    vehicle = Vehicle(platform, tmp_path, make_vin(), "WAIT-1")
    vehicle.connect().close()
    pid = stop(platform, "mosquitto")
    try:
        answer = platform.client("crm").post(f"/v1/vehicles/{vehicle.id}/commands",
                                             {"name": "lock", "payload": {}, "timeoutSeconds": 60})
        assert answer.status == 202, answer
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_ready(platform)
    connection = vehicle.connect()
    assert connection.subscribe(vehicle.commands_filter()) == [1]
    topic, _ = connection.receive()
    vehicle.answer_command(connection, topic, "SUCCEEDED")
    path = f"/v1/vehicles/{vehicle.id}/commands/{answer.json['commandId']}"
    eventually("the command has succeeded",
               lambda: platform.client("crm").get(path).json["status"] == "SUCCEEDED")
    vehicle.close()


# ---- disks ------------------------------------------------------------------------------------------------------


def ingest_is_ready(platform):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{platform.port_base + 5}/readyz", timeout=5) as answer:
            return answer.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def send_numbers(vehicle, numbers, size=0):
    """Sends one by one until the broker refuses; which were acknowledged."""
    connection, acknowledged = vehicle.connection(), set()
    if connection.connect(expect=None) != 0:
        return acknowledged
    for number in numbers:
        text = json.dumps({"signals": {"Vehicle.TraveledDistance": number}})
        mid = connection.publish(f"vehicles/{vehicle.id}/signals", text.ljust(size))
        eventually("an acknowledgement or the end", lambda: mid in connection.acknowledged or connection.closed.is_set())
        if mid not in connection.acknowledged:
            break
        acknowledged.add(number)
    connection.close()
    return acknowledged


@as_root
def test_a_full_disk_refuses_telemetry_and_loses_none(own_platform, small_disk, tmp_path):
    """Both the spool's disk and the store's. What was acknowledged before is stored as soon as there is room."""
    platform = own_platform("--messages-per-second", "10000", directory=small_disk / "data")
    vehicles = [Vehicle(platform, tmp_path, make_vin(), f"FULL-{n}") for n in range(4)]
    for vehicle in vehicles:
        vehicle.connect().close()
    fill(small_disk)
    told = [send_numbers(vehicle, range(150), 100_000) for vehicle in vehicles]
    assert any(len(numbers) < 150 for numbers in told), "the segments that there were took 60 MB"
    assert sum(map(len, told)) > 100, "it refused what there was room for"
    assert platform.operations("/healthz").status == 200
    (small_disk / "filler").unlink()
    for vehicle, numbers in zip(vehicles, told):
        stored = wait_stored(platform, vehicle, numbers)
        assert len(stored) == len(set(stored)), "stored twice"
    eventually("telemetry is taken again", lambda: send_numbers(vehicles[0], [1000]), 30)
    wait_stored(platform, vehicles[0], {1000})
    for vehicle in vehicles:
        vehicle.close()


@pytest.mark.plain
@pytest.mark.parametrize("kind,number", [("sync_errno", errno.EIO), ("write_errno", errno.ENOSPC), ("write_errno", errno.EIO)])
def test_a_failing_store_delays_telemetry_and_loses_none(own_platform, switch, tmp_path, kind, number):
    platform = own_platform(environment=switch.environment)
    vehicle = Vehicle(platform, tmp_path, make_vin(), "STORE-1")
    vehicle.connect().send_signals({"Vehicle.Speed": 1})
    eventually("the first is stored", lambda: latest(platform, vehicle, "Vehicle.Speed") == 1)
    switch.set(path="/data0/telemetry/", **{kind: number})
    assert send_numbers(vehicle, range(20)) == set(range(20))
    eventually("ingest says that it fails", lambda: not ingest_is_ready(platform))
    assert switch.get("hits") > 0
    switch.clear()
    stored = wait_stored(platform, vehicle, set(range(20)))
    assert len(stored) == 20
    eventually("ingest is ready again", lambda: ingest_is_ready(platform))
    vehicle.close()


@pytest.mark.plain
def test_a_spool_whose_syncs_fail_is_synced_again(own_platform, switch, tmp_path):
    platform = own_platform(environment=switch.environment)
    vehicle = Vehicle(platform, tmp_path, make_vin(), "SYNC-1")
    vehicle.connect().close()
    switch.set(path="/spool/telemetry/", sync_errno=errno.EIO)
    told = send_numbers(vehicle, range(30))
    eventually("a sync has failed", lambda: switch.get("hits") > 0)
    switch.clear()
    told |= send_numbers(vehicle, range(30, 60))
    assert told == set(range(60))
    assert sorted(wait_stored(platform, vehicle, told)) == sorted(told)
    vehicle.close()


@as_root
@pytest.mark.plain
def test_a_store_that_is_read_only_at_start_is_named(own_platform, switch, tmp_path):
    platform = own_platform(environment=switch.environment)
    vehicle = Vehicle(platform, tmp_path, make_vin(), "RO-1")
    vehicle.connect().close()
    switch.set(path="/data0/telemetry/", write_errno=errno.EIO)
    told = send_numbers(vehicle, range(20))  # they wait in the spool
    platform.stop()
    switch.clear()
    store = platform.directory / "telemetry"
    for options in (["--bind", store], ["-o", "remount,bind,ro"]):
        subprocess.run(["mount", *options, store], check=True)
    try:
        platform.start(expect_ready=False)
        assert platform.process.poll() not in (None, 0), "it started all the same"
        assert str(store) in platform.log_path.read_text()[-4000:], platform.log_path.read_text()[-4000:]
        platform.stop()
    finally:
        subprocess.run(["umount", store], check=True)
    platform.start()
    assert sorted(wait_stored(platform, vehicle, told)) == list(range(20))
    vehicle.close()


@pytest.mark.plain
def test_events_wait_for_a_registry_that_takes_nothing(own_platform, switch, tmp_path):
    platform = own_platform(environment=switch.environment)
    vehicles = [Vehicle(platform, tmp_path, make_vin(), f"EVENT-{n}") for n in range(3)]

    def states():
        return {platform.client("admin").get(f"/v1/vehicles/{vehicle.id}").json["state"] for vehicle in vehicles}

    assert states() == {"provisioned"}
    switch.set(path="/registry/", write_errno=errno.EROFS)
    for vehicle in vehicles:
        assert send_numbers(vehicle, [1]) == {1}
    eventually("the registry was asked", lambda: switch.get("hits") > 0)
    assert states() == {"provisioned"}
    switch.clear()
    eventually("what happened meanwhile is known", lambda: states() == {"active"}, 30)
    for vehicle in vehicles:
        assert wait_stored(platform, vehicle, {1}) == [1]
        vehicle.close()


# ---- clocks, and the key daemon -----------------------------------------------------------------------------------


@pytest.mark.plain
def test_clocks_that_jump_disturb_no_vehicle(own_platform, switch, tmp_path):
    """How old the deny list is, is measured by a clock that does not jump."""
    platform = own_platform(environment=switch.environment)
    switch.set(clock_offset_ms=-3_600_000)  # so that their certificates are valid at each of the times
    vehicle, other = (Vehicle(platform, tmp_path, make_vin(), f"CLOCK-{n}") for n in range(2))
    live = vehicle.connect()
    for number, hours in enumerate((1, -1, 0), 1):
        switch.set(clock_offset_ms=int(hours * 3_600_000))
        until = time.monotonic() + 2
        while time.monotonic() < until:
            live.send_signals({"Vehicle.Speed": number, "Vehicle.TraveledDistance": number})
            assert not refused(other), f"refused after a jump by {hours} hours"
            time.sleep(0.2)
        eventually("it is stored", lambda: number in stored_numbers(platform, vehicle))
    assert not live.closed.is_set(), "a live connection was closed"
    vehicle.close()
    other.close()


def test_a_claim_without_the_key_daemon_is_told_to_try_again(own_platform):
    platform = own_platform()
    platform.load_devices("CLAIM-1")
    mqtt, create = platform.info["mqtt"], "$aws/certificates/create-from-csr/json"
    provision = f"$aws/provisioning-templates/{mqtt['template']}/provision/json"
    unit = Mqtt(platform, "unit-1", mqtt["claimCertificate"], mqtt["claimKey"])
    unit.connect()
    unit.subscribe(*(f"{topic}/{what}" for topic in (create, provision) for what in ("accepted", "rejected")))

    def ask(topic, request):
        began = time.monotonic()
        unit.publish(topic, request)
        heard, payload = unit.receive()
        assert time.monotonic() - began < 20
        return heard.rsplit("/", 1)[1], json.loads(payload)

    def without_keyd(topic, request):
        pid = stop(platform, "vinveil-keyd")
        try:
            verdict, answer = ask(topic, request)
            assert (verdict, answer["statusCode"], answer["errorCode"]) == ("rejected", 503, "ServiceUnavailable"), answer
        finally:
            os.kill(pid, signal.SIGCONT)
        return eventually("it works again", lambda: (told := ask(topic, request))[0] == "accepted" and told[1], 30)

    token = without_keyd(create, {"certificateSigningRequest": make_csr()})["certificateOwnershipToken"]
    thing = without_keyd(provision, {"certificateOwnershipToken": token, "parameters": {"VIN": make_vin(), "DeviceId": "CLAIM-1"}})
    assert platform.client("factory").get("/v1/vehicles?deviceId=CLAIM-1").json["vehicles"][0]["referenceId"] == thing["thingName"]
    unit.close()
