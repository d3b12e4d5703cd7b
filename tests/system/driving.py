"""Vehicles that drive all the while, and what is stored of it."""
import itertools
import threading
import time

from mqtt import Publisher

START_MS = int(time.time() * 1000) - 600_000  # within every retention


class Driver(threading.Thread):
    """Sends numbered telemetry for as long as it lives, whatever happens to the connection; all of it is acknowledged."""

    def __init__(self, vehicle):
        super().__init__(daemon=True)
        self.vehicle, self.ending = vehicle, threading.Event()
        self.numbers, self.fault = {}, None

    def run(self):
        publisher = Publisher(self.vehicle)
        try:
            for number in itertools.takewhile(lambda _: not self.ending.is_set(), itertools.count(1)):
                publisher.publish(f"vehicles/{self.vehicle.id}/signals",
                                  {"timestamp": START_MS + number, "signals": {"Vehicle.TraveledDistance": number}},
                                  patience=600)  # while it is killed again and again
                self.numbers[number] = time.monotonic()
                time.sleep(0.005)
        except Exception as error:  # a thread's error would else be lost
            self.fault = f"{self.vehicle.id}: {error!r}"
        publisher.close()

    def finish(self):
        """{number: when it was acknowledged, in monotonic seconds}."""
        self.ending.set()
        self.join(120)
        assert not self.is_alive(), f"{self.vehicle.id}: nothing is acknowledged, and nobody is killed any more"
        assert self.fault is None, self.fault
        return self.numbers


def stored_numbers(platform, vehicle):
    """[value] of every point of the vehicle's TraveledDistance, page by page."""
    numbers, cursor = [], ""
    while cursor is not None:
        answer = platform.client("crm").get(f"/v1/vehicles/{vehicle.id}/signals?name=Vehicle.TraveledDistance&limit=1000"
                                            + (f"&cursor={cursor}" if cursor else ""))
        assert answer.status == 200, answer
        numbers += [point["value"] for point in answer.json["points"]]
        cursor = answer.json.get("nextCursor")
    return numbers


def wait_stored(platform, vehicle, numbers):
    """The numbers that are stored, once all of these are; names what is missing."""
    until = time.monotonic() + 60
    while True:
        stored = stored_numbers(platform, vehicle)
        missing = numbers - set(stored)
        if not missing:
            return stored
        assert time.monotonic() < until, f"{vehicle.id}: acknowledged and not stored: {sorted(missing)} of {len(numbers)}"
        time.sleep(0.1)
