"""A mixed load that keeps account: what was acknowledged, what must therefore be there, whatever was killed."""
import hashlib
import http.client
import json
import random
import threading
import time
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from installation import Answer, Client

CLIENTS = ("factory", "crm", "service-center", "investigator", "approver", "admin")
NDJSON = {"Content-Type": "application/x-ndjson"}


def hashed(vin):
    return hashlib.sha256(vin.encode()).hexdigest()


def make_csr(key=None):
    key = key or ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM).decode()


class OneShot(Client):
    """A client that never sends anything twice by itself: whether a request was heard is for its caller to find out."""

    def request(self, method, path, body=None, headers=None, raw=None):
        headers = dict(headers or {})
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        try:
            if self.connection is None:
                self.connection = http.client.HTTPSConnection(*self.address, context=self.context, timeout=self.timeout)
            self.connection.request(method, path, raw, headers)
            response = self.connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (http.client.HTTPException, OSError):
            self.close()
            return None


class Account:
    """What all workers were told, under one lock."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acknowledged = []  # (request ID, action)
        self.vehicles = {}  # VIN: {"referenceId", "deviceId"}
        self.serials = {}  # serial: VIN
        self.revoked = set()
        self.replays = []  # (client, path, body, key, status, answer)
        self.clients = {}  # ID: state
        self.opened = []  # reveal requests that were opened
        self.faults = []  # answers that may never be

    def note(self, **changes):
        with self.lock:
            for name, value in changes.items():
                getattr(self, name).append(value)


class Worker(threading.Thread):
    """One thread of the load; its choices come from its seed alone."""

    def __init__(self, platform, account, number, seed, make_vin, races):
        super().__init__(name=f"worker {number}", daemon=True)
        self.platform, self.account, self.number = platform, account, number
        self.random = random.Random(f"{seed} {number}")
        self.make_vin, self.races = make_vin, races
        self.devices, self.mine = [], []
        self.clients = {name: platform.new_client(name, kind=OneShot, timeout=10) for name in CLIENTS}
        self.ending = threading.Event()
        self.serial = 0

    def run(self):
        while not self.ending.is_set():
            try:
                self.step()
            except Exception as error:  # a thread's error would else be lost
                self.account.note(faults=f"{self.name}: {error!r}")
                return

    def step(self):
        work = self.random.choices(
            (self.provision, self.convert, self.change_tcu, self.race, self.reveal, self.add_client, self.convert_many),
            (30, 30, 15, 8, 3, 4, 10))[0]
        if not self.mine:
            work = self.provision
        work()

    # ---- asking until there is an answer ----

    def once(self, client, path, body, action, **options):
        request_id = str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        headers = {"Request-Id": request_id, **options.pop("headers", {})}
        answer = self.clients[client].request("POST", path, body, headers=headers, **options)
        if answer is not None and answer.status not in (200, 201, 403, 409, 410, 503):
            self.account.note(faults=f"{action}: {answer}")
        if answer is not None and answer.status in (200, 201):
            self.account.note(acknowledged=(request_id, action))
        return answer

    def ask(self, client, path, body, action, **options):
        """Asks again after 503 or no answer, as a patient application does; None only at the end of a run."""
        until = None
        while True:
            answer = self.once(client, path, body, action, **options)
            if answer is not None and answer.status != 503:
                return answer
            if self.ending.is_set():
                until = until or time.monotonic() + 60
                if time.monotonic() > until:
                    self.account.note(faults=f"{action}: no answer in a minute of quiet: {answer}")
                    return None
            time.sleep(0.03)

    def ask_keyed(self, client, path, body, action):
        key = f"key-{self.random.getrandbits(64):x}"
        while True:
            answer = self.ask(client, path, body, action, headers={"Idempotency-Key": key})
            if answer is not None and answer.status == 409 and answer.problem == "request-in-progress":
                time.sleep(0.03)  # the connection broke, and the first attempt is still running
                continue
            return key, answer

    # ---- the work ----

    def new_device(self):
        if not self.devices:
            self.serial += 1
            names = [f"CRASH-{self.number}-{self.serial}-{n}" for n in range(20)]
            lines = "".join(json.dumps({"deviceId": name, "model": "T"}) + "\n" for name in names)
            if self.ask("factory", "/v1/devices", None, "device.manifest", raw=lines.encode(), headers=NDJSON):
                self.devices = names
        return self.devices.pop()

    def know(self, vin, device, answer):
        told = answer.json
        with self.account.lock:
            known = self.account.vehicles.setdefault(vin, {"referenceId": told["referenceId"]})
            if known["referenceId"] != told["referenceId"]:
                self.account.faults.append(f"two Reference IDs for one VIN: {known} {told['referenceId']}")
            known["deviceId"] = device
            if "credentials" in told:
                self.account.serials[told["credentials"]["serialNumber"].replace(":", "").lower()] = vin
        return told

    def provision(self):
        vin, device = self.make_vin(), self.new_device()
        body = {"vin": vin, "deviceId": device}
        if self.random.random() < 0.5:
            body["csr"] = make_csr()
        key, answer = self.ask_keyed("factory", "/v1/vehicles", body, "vehicle.provision")
        if answer is None:
            return
        if answer.status not in (200, 201):
            self.account.note(faults=f"provisioning: {answer}")
            return
        told = self.know(vin, device, answer)
        self.mine.append([vin, told["referenceId"], device])
        if "csr" in body:
            self.account.note(replays=("factory", "/v1/vehicles", body, key, answer.status, answer.json))

    def race(self):
        """A VIN that others provision at the same time, each with a device of its own: one of them has it."""
        vin, device = self.random.choice(self.races), self.new_device()
        answer = self.ask("factory", "/v1/vehicles", {"vin": vin, "deviceId": device}, "vehicle.provision")
        if answer is not None and answer.status in (200, 201):
            self.know(vin, device, answer)

    def convert(self):
        vin, reference, _ = self.random.choice(self.mine)
        named = {"vin": vin} if self.random.random() < 0.5 else {"hashedVin": hashed(vin)}
        answer = self.ask("crm", "/v1/reference-ids/lookup", {**named, "purpose": "customer-service"},
                          "reference-id.lookup")
        if answer is not None and (answer.status != 200 or answer.json["referenceId"] != reference):
            self.account.note(faults=f"conversion: {answer}, not {reference}")

    def convert_many(self):
        some = self.random.sample(self.mine, min(len(self.mine), 10))
        body = {"hashedVins": [hashed(vin) for vin, _, _ in some], "purpose": "customer-service"}
        answer = self.ask("crm", "/v1/reference-ids/lookup-batch", body, "reference-id.lookup-batch")
        if answer is None:
            return
        if answer.status != 200 or [r["referenceId"] for r in answer.json["results"]] != [r for _, r, _ in some]:
            self.account.note(faults=f"batch: {answer}")

    def change_tcu(self):
        vehicle = self.random.choice(self.mine)
        vin, reference, device = vehicle
        new_device = self.new_device()
        body = {"referenceId": reference, "deviceId": device, "newDeviceId": new_device}
        if self.random.random() < 0.5:
            body = {"hashedVin": hashed(vin), "deviceId": device, "newDeviceId": new_device}
        key, answer = self.ask_keyed("service-center", "/v1/tcu-changes", body, "tcu.change")
        if answer is None:
            return
        if answer.status != 200 or answer.json["deviceId"] != new_device:
            self.account.note(faults=f"TCU change: {answer}")
            return
        vehicle[2] = new_device
        with self.account.lock:
            self.account.vehicles[vin]["deviceId"] = new_device
            gone = [serial for serial, owner in self.account.serials.items() if owner == vin]
            self.account.revoked.update(gone)
        self.account.note(replays=("service-center", "/v1/tcu-changes", body, key, 200, answer.json))
        _, answer = self.ask_keyed("factory", "/v1/vehicles", {"vin": vin, "deviceId": new_device}, "vehicle.provision")
        if answer is not None and answer.status == 200:
            self.know(vin, new_device, answer)
        elif answer is not None:
            self.account.note(faults=f"the new TCU: {answer}")

    def reveal(self):
        vin, reference, _ = self.random.choice(self.mine)
        body = {"referenceId": reference, "purpose": "legal-request", "reason": "a court order"}
        answer = self.ask("investigator", "/v1/reveal-requests", body, "reveal.request")
        if answer is None or answer.status != 201:
            return
        path = f"/v1/reveal-requests/{answer.json['revealRequestId']}"
        answer = self.ask("approver", path + "/approve", {}, "reveal.approve")
        if answer is None:
            return
        answer = self.once("investigator", path + "/open", {}, "reveal.open")
        if answer is not None and answer.status == 200:
            if answer.json["vin"] != vin:
                self.account.note(faults="the wrong VIN was revealed")
            self.account.note(opened=path)

    def add_client(self):
        name = f"crash-{self.number}-{self.random.getrandbits(32):08x}"
        body = {"clientId": name, "tenantId": "demo", "scopes": ["refid:lookup"], "purposes": ["customer-service"],
                "fingerprints": [f"{self.random.getrandbits(256):064x}"]}
        _, answer = self.ask_keyed("admin", "/v1/clients", body, "client.create")
        if answer is None:
            return
        if answer.status not in (201, 409):  # 409: the attempt before was done, but died before its answer was kept
            self.account.note(faults=f"client: {answer}")
            return
        with self.account.lock:
            self.account.clients[name] = "active"
        if self.random.random() < 0.5:
            answer = self.ask("admin", f"/v1/clients/{name}/suspend", {}, "client.suspend")
            if answer is not None and answer.status == 200:
                with self.account.lock:
                    self.account.clients[name] = "suspended"
