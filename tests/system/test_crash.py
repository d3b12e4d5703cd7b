"""kill -9 at random instants under a mixed load: whatever was acknowledged is there, and nothing is half made.

VINVEIL_KILLS (default 200) says how often, VINVEIL_SEED which choices.
"""
import collections
import itertools
import json
import os
import random
import signal
import threading
import time

import pytest
from cryptography import x509

from conftest import make_vin
from installation import eventually
from load import Account, OneShot, Worker, hashed
from trail import (CERTIFICATE_ISSUED, DEVICE_CHANGED, DEVICE_REMOVED, PROVISIONED, Registry, checkpoint_size,
                   read_leaves, reference_text)

KILLS = int(os.environ.get("VINVEIL_KILLS", "200"))
SEED = os.environ.get("VINVEIL_SEED", "crash 1")
WORKERS = 4
DAEMONS = ["vinveild", "vinveil-keyd", "mosquitto", "vinveil-ingest"]


class Killer:
    """Ends processes of an installation at random instants, and watches what must never go backwards."""

    def __init__(self, platform, seed):
        self.platform, self.random = platform, random.Random(seed)
        self.kills = collections.Counter()
        self.checkpoint, self.crl = 0, set()

    def children(self):
        """{name: PID} of the daemons that run now, ready or not."""
        pid = self.platform.process.pid
        found = {}
        for child in open(f"/proc/{pid}/task/{pid}/children").read().split():
            try:
                found[open(f"/proc/{child}/comm").read().strip()] = int(child)
            except FileNotFoundError:
                pass
        return found

    @staticmethod
    def end(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def kill_daemons(self, names):
        running = self.children()
        for name in names:
            if name in running:
                self.end(running[name])
                self.kills[name] += 1

    def kill_everything(self):
        """`vinveil dev` itself; its daemons die with it, or end by themselves as they do when they lose it."""
        running = self.children()
        self.end(self.platform.process.pid)
        if self.random.random() < 0.5:
            for pid in running.values():
                self.end(pid)
        self.platform.process.wait()
        self.platform.process.stdout.close()
        self.platform.process = None
        self.kills["vinveil dev"] += 1
        until = time.monotonic() + 30
        for pid in running.values():
            while os.path.exists(f"/proc/{pid}") and time.monotonic() < until:
                time.sleep(0.005)
        self.platform.start()

    def kill_once(self):
        choice = self.random.random()
        if choice < 0.4:
            self.kill_daemons(["vinveild"])
        elif choice < 0.65:
            self.kill_daemons(["vinveil-keyd"])
        elif choice < 0.75:
            self.kill_daemons([self.random.choice(["mosquitto", "vinveil-ingest"])])
        elif choice < 0.92:
            self.kill_daemons(self.random.sample(DAEMONS, self.random.choice((2, 2, 4))))
        else:
            self.kill_everything()

    def wait_ready(self, timeout=60):
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            assert self.platform.process.poll() is None, self.platform.log_path.read_text()[-4000:]
            try:
                if self.platform.operations("/readyz").status == 200:
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.01)
        raise AssertionError(f"not ready again: {self.platform.log_path.read_text()[-4000:]}")

    def look(self):
        """The checkpoint never shrinks; a revoked certificate never leaves the CRL."""
        size = checkpoint_size(self.platform.directory)
        assert size >= self.checkpoint, "the checkpoint went backwards"
        self.checkpoint = size
        try:
            answer = self.platform.operations("/crl/device.crl")
        except OSError:
            return  # killed meanwhile
        if answer.status == 200:
            listed = {f"{entry.serial_number:x}" for entry in x509.load_der_x509_crl(answer.body)}
            assert self.crl <= listed, "a revoked certificate left the CRL"
            self.crl = listed

    def run(self, count):
        while sum(self.kills.values()) < count:
            # Mostly when it is up and busy, sometimes while it is coming up.
            if self.random.random() < 0.75:
                self.wait_ready()
                self.look()
            time.sleep(self.random.random() * 0.25)
            self.kill_once()
        self.wait_ready()
        self.look()


class Load:
    def __init__(self, platform, seed):
        self.platform, self.account = platform, Account()
        lock = threading.Lock()
        numbers = itertools.count(5_000_000)

        def new_vin():
            with lock:
                return make_vin(next(numbers))

        races = [new_vin() for _ in range(40)]
        self.workers = [Worker(platform, self.account, n, seed, new_vin, races) for n in range(WORKERS)]

    def start(self):
        for worker in self.workers:
            worker.start()

    def finish(self):
        for worker in self.workers:
            worker.ending.set()
        for worker in self.workers:
            worker.join(120)
            assert not worker.is_alive(), f"{worker.name} hangs"
        assert not self.account.faults, "\n".join(map(str, self.account.faults[:20]))


def check_conversions(platform, account):
    crm = platform.new_client("crm")
    vins = list(account.vehicles)
    for at in range(0, len(vins), 100):
        some = vins[at:at + 100]
        answer = crm.post("/v1/reference-ids/lookup-batch",
                          {"hashedVins": [hashed(vin) for vin in some], "purpose": "customer-service"})
        assert answer.status == 200, answer
        assert [r["referenceId"] for r in answer.json["results"]] == [account.vehicles[v]["referenceId"] for v in some]
    crm.close()


def check_replays(platform, account, rng):
    for client, path, body, key, status, told in rng.sample(account.replays, min(60, len(account.replays))):
        answer = platform.client(client).post(path, body, headers={"Idempotency-Key": key})
        assert answer.status == status, (path, answer)
        assert answer.json["referenceId"] == told["referenceId"]
        if "credentials" in told:
            assert answer.json["credentials"]["serialNumber"] == told["credentials"]["serialNumber"]
    for path in account.opened:
        assert platform.client("investigator").post(path + "/open", {}).status == 410


def check_clients(platform, account):
    for name, state in account.clients.items():
        answer = platform.client("admin").get(f"/v1/clients/{name}")
        assert answer.status == 200 and answer.json["state"] == state, (name, state, answer)


def check_revocations(platform, account):
    def all_are_listed():
        answer = platform.operations("/crl/device.crl")
        listed = {f"{entry.serial_number:032x}" for entry in x509.load_der_x509_crl(answer.body)}
        return {serial.zfill(32) for serial in account.revoked} <= listed
    eventually("all revoked certificates are on the CRL", all_are_listed, pause=0.2)


def check_leaves(leaves, account):
    ids = collections.Counter(leaf["leafId"] for leaf in leaves)
    assert max(ids.values()) == 1, "a leaf stands twice in the log"
    told = collections.Counter((leaf["requestId"], leaf["action"]) for leaf in leaves if leaf["outcome"] == "allowed")
    for request in account.acknowledged:
        if request[1] == "device.manifest":  # a leaf a part, and one for the whole
            assert told[request] >= 1, request
        else:
            assert told[request] == 1, (request, told[request])


def check_rows(registry, account):
    """No half-made vehicle, no device on two, one Reference ID a VIN; and every acknowledged row."""
    assert registry.all("PRAGMA integrity_check") == [("ok",)]
    vehicles = registry.all("SELECT number, reference_id, device_id, tenant FROM vehicle")
    rows = {reference_text(reference): (number, device) for number, reference, device, _ in vehicles}
    assert len(rows) == len(vehicles)
    devices = [(tenant, device) for _, _, device, tenant in vehicles if device is not None]
    assert len(devices) == len(set(devices)), "a device on two vehicles"
    for name in ("vin_index", "certificate", "certified_key"):
        lost = registry.all(f"SELECT count(*) FROM {name} WHERE vehicle NOT IN (SELECT number FROM vehicle)")
        assert lost == [(0,)], f"{name} without a vehicle"
        bare = registry.all(f"SELECT count(*) FROM vehicle WHERE number NOT IN (SELECT vehicle FROM {name})")
        assert bare == [(0,)], f"vehicles without {name}"
    counted = registry.all("SELECT vehicle, count(*) FROM history WHERE event = ? GROUP BY vehicle",
                           PROVISIONED)
    assert len(counted) == len(vehicles) and all(count == 1 for _, count in counted)
    issued = registry.all("SELECT count(*) FROM certificate WHERE serial NOT IN"
                          " (SELECT serial FROM history WHERE event = ?)", CERTIFICATE_ISSUED)
    assert issued == [(0,)], "certificates without history"
    for vin, vehicle in account.vehicles.items():
        assert vehicle["referenceId"] in rows, "an acknowledged vehicle is lost"
    serials = {bytes(serial).hex().zfill(32) for serial, in registry.all("SELECT serial FROM certificate")}
    assert {serial.zfill(32) for serial in account.serials} <= serials
    revoked = {bytes(serial).hex().zfill(32)
               for serial, in registry.all("SELECT serial FROM certificate WHERE revoked_at IS NOT NULL")}
    assert {serial.zfill(32) for serial in account.revoked} <= revoked
    return rows


def check_rows_against_leaves(registry, leaves, rows):
    """No change of the registry without its leaf, no leaf of a change without the change."""
    allowed = [leaf for leaf in leaves if leaf["outcome"] == "allowed" and leaf["tenantId"] == "demo"]
    made = collections.Counter(leaf.get("referenceId") for leaf in allowed
                               if leaf["action"] == "tcu.change" and "state" in leaf)
    kept = collections.Counter()
    numbers = {number: reference for reference, (number, _) in rows.items()}
    events = (DEVICE_CHANGED, DEVICE_REMOVED)
    for vehicle, in registry.all("SELECT vehicle FROM history WHERE event IN (?, ?)", *events):
        kept[numbers[vehicle]] += 1
    assert kept == made, "device changes and their leaves differ"
    provisioned = {leaf["referenceId"] for leaf in allowed if leaf["action"] == "vehicle.provision"}
    assert provisioned == set(rows), "vehicles and their leaves differ"
    issued = [leaf["serialNumber"] for leaf in allowed if "serialNumber" in leaf and leaf["action"] == "vehicle.provision"]
    stored = [bytes(serial).hex() for serial, in registry.all("SELECT serial FROM certificate")]
    assert sorted(set(issued)) == sorted(stored), "certificates and their leaves differ"
    revoked = {serial for leaf in allowed for serial in leaf.get("revokedSerialNumbers", ())}
    stored = {bytes(serial).hex() for serial, in registry.all(
        "SELECT serial FROM certificate WHERE revoked_at IS NOT NULL")}
    assert revoked == stored, "revocations and their leaves differ"


def check_everything(platform, account, rng):
    check_conversions(platform, account)
    check_replays(platform, account, rng)
    check_clients(platform, account)
    check_revocations(platform, account)
    platform.wait_checkpoint()
    assert platform.cli("audit", "verify").returncode == 0
    platform.stop()
    leaves = read_leaves(platform.directory)
    check_leaves(leaves, account)
    with Registry(platform.directory) as registry:
        rows = check_rows(registry, account)
        check_rows_against_leaves(registry, leaves, rows)
    return leaves


def test_kills_under_load_lose_nothing(own_platform):
    platform = own_platform("--rate-limit", "100000", "--reveals-per-hour", "1000")
    load, killer = Load(platform, SEED), Killer(platform, SEED)
    load.start()
    killer.run(KILLS)
    account = load.account
    # Between the kills a slow machine may not come to so much.
    eventually("enough is done", lambda: len(account.vehicles) > KILLS / 4 and len(account.acknowledged) > KILLS, 120)
    load.finish()
    leaves = check_everything(platform, account, random.Random(SEED))
    print(f"{dict(killer.kills)}; {len(account.acknowledged)} acknowledged, {len(account.vehicles)} vehicles, "
          f"{len(account.revoked)} revocations, {len(account.opened)} reveals, {len(leaves)} leaves")


def generations(platform):
    return {row["tenantId"]: row for row in json.loads(platform.cli("keys", "list", "--json").stdout)}


@pytest.mark.parametrize("rounds", [2])
def test_key_rotation_goes_on_after_every_kill(own_platform, rounds):
    platform = own_platform("--rate-limit", "100000", "--reveals-per-hour", "1000")
    load, killer = Load(platform, SEED + " rotation"), Killer(platform, SEED + " rotation")
    load.start()
    time.sleep(3)
    for number in range(1, rounds + 1):
        killer.wait_ready()
        platform.cli("keys", "rotate", "--tenant", "demo", "--no-wait")
        assert generations(platform)["demo"]["newest"] == number + 1
        killer.run(sum(killer.kills.values()) + max(3, KILLS // 20))
        until = time.monotonic() + 120
        while True:
            killer.wait_ready()
            now = generations(platform)["demo"]
            if now["oldest"] == now["newest"] == number + 1:
                break
            assert time.monotonic() < until, f"the rotation does not end: {now}"
            time.sleep(0.25)
    load.finish()
    check_everything(platform, load.account, random.Random(SEED))
    with Registry(platform.directory) as registry:
        left = registry.all("SELECT DISTINCT generation FROM vin_index UNION SELECT DISTINCT generation FROM vehicle")
        assert left == [(rounds + 1,)], left
