"""kill -9 of every process while vehicles drive: what a vehicle saw acknowledged is stored, once; what was revoked stays out.

VINVEIL_VEHICLE_KILLS (default 25) says how often, VINVEIL_SEED which choices.
"""
import collections
import os
import random
import signal
import time

import pytest

from conftest import make_vin
from driving import Driver, wait_stored
from installation import eventually
from mqtt import Vehicle

KILLS = int(os.environ.get("VINVEIL_VEHICLE_KILLS", "25"))
SEED = os.environ.get("VINVEIL_SEED", "vehicles 1")
VEHICLES = 6
DAEMONS = ("vinveil-ingest", "mosquitto", "vinveild", "vinveil-keyd")


def children(platform):
    pid = platform.process.pid
    found = {}
    for child in open(f"/proc/{pid}/task/{pid}/children").read().split():
        try:
            found[open(f"/proc/{child}/comm").read().strip()[:15]] = int(child)
        except FileNotFoundError:
            pass
    return found


def kill(platform, names):
    running, count = children(platform), 0
    for name in names:
        if name[:15] in running:
            try:
                os.kill(running[name[:15]], signal.SIGKILL)
                count += 1
            except ProcessLookupError:
                pass
    return count


def wait_ready(platform):
    def ready():
        assert platform.process.poll() is None, platform.log_path.read_text()[-4000:]
        try:
            answer = platform.operations("/readyz")
        except (OSError, ValueError):
            return False
        return answer.status == 200 and answer.json["checks"]["deviceGateway"] == "ok"
    eventually("everything answers again", ready, 60)


def test_what_was_acknowledged_is_stored_once(own_platform, tmp_path):
    platform = own_platform("--rate-limit", "10000")
    rng = random.Random(SEED)
    vehicles = [Vehicle(platform, tmp_path, make_vin(7_000_000 + n), f"CRASH-{n}") for n in range(VEHICLES)]
    drivers = [Driver(vehicle) for vehicle in vehicles]
    for driver in drivers:
        driver.start()
    kills = collections.Counter()
    while sum(kills.values()) < KILLS:
        if rng.random() < 0.8:
            wait_ready(platform)
        time.sleep(rng.random() * 0.3)
        names = rng.sample(DAEMONS, rng.choice((1, 1, 1, 2, 4)))
        for name in names:
            kills[name] += kill(platform, [name])
    wait_ready(platform)
    told = [driver.finish() for driver in drivers]
    for vehicle, numbers in zip(vehicles, told):
        stored = wait_stored(platform, vehicle, set(numbers))
        assert len(stored) == len(set(stored)), f"{vehicle.id}: a point is stored twice"
        vehicle.close()
    print(f"{sum(map(len, told))} messages, kills: {dict(kills)}")
    assert all(kills[name] > 0 for name in DAEMONS), kills


def is_refused(vehicle):
    connection = vehicle.connection()
    code = connection.connect(expect=None)
    connection.close()
    return code != 0


@pytest.mark.parametrize("name", ["mosquitto", "vinveild"])
def test_a_revoked_certificate_stays_out_whatever_restarts(own_platform, tmp_path, name):
    platform = own_platform("--rate-limit", "10000")
    vehicle = Vehicle(platform, tmp_path, make_vin(7_100_000), "OLD-TCU")
    vehicle.connect().close()
    platform.load_devices("NEW-TCU")
    # The broker is away while the certificate is revoked; the API answers all the same.
    if name == "mosquitto":
        kill(platform, ["mosquitto"])
    answer = platform.client("service-center").post(
        "/v1/tcu-changes", {"referenceId": vehicle.id, "deviceId": "OLD-TCU", "newDeviceId": "NEW-TCU"})
    assert answer.status == 200, answer
    if name == "vinveild":
        # A daemon may die between its answer and the cut: that is the next test's.
        eventually("the broker has heard", lambda: is_refused(vehicle))
        kill(platform, ["vinveild"])
    # From here on, at every instant: refused because the list is stale, or because it names the certificate.
    until = time.monotonic() + 4
    while time.monotonic() < until:
        assert is_refused(vehicle), "a revoked certificate connected"
        time.sleep(0.02)
    wait_ready(platform)
    vehicle.connect(expect=135).close()


def test_a_daemon_that_dies_at_its_answer_cuts_when_it_is_back(own_platform, tmp_path):
    """The revocation is durable before the answer, whether or not the broker has heard of it."""
    platform = own_platform()
    vehicle = Vehicle(platform, tmp_path, make_vin(7_100_001), "OLD-TCU")
    connection = vehicle.connect()
    platform.load_devices("NEW-TCU")
    answer = platform.client("service-center").post(
        "/v1/tcu-changes", {"referenceId": vehicle.id, "deviceId": "OLD-TCU", "newDeviceId": "NEW-TCU"})
    kill(platform, ["vinveild"])
    assert answer.status == 200, answer
    assert connection.wait_closed(30) is not None, "a revoked session lives on"
    assert is_refused(vehicle)
    wait_ready(platform)
    vehicle.connect(expect=135).close()
    vehicle.close()
