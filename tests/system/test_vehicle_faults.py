"""What is away, full or slow on the vehicles' side: a clear answer, nothing lost, recovery without hands."""
import os
import signal
import time

import pytest

from conftest import make_vin
from mqtt import Vehicle, eventually
from test_vehicle_crash import children, wait_ready


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
    os.kill(pid, signal.SIGSTOP)
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
        eventually("a new connection is refused", lambda: refused(other), 20)
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
