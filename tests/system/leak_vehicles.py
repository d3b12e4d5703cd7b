"""Everything that vehicles say with a VIN in it, rightly or wrongly, a VIN of its own for each way."""
import hashlib
import json
import sys
import time
import urllib.request
import uuid

import snappy

import est
from certificates import make_csr, new_key
from conftest import make_vin
from installation import ROOT, eventually
from leak import needles
from mqtt import Mqtt, Vehicle

sys.path.insert(0, str(ROOT / "tests/vectors"))
import fleetwise  # noqa: E402

CREATE = "$aws/certificates/create-from-csr/json"
DENIED = 128
# Of each group one beginning: whatever is left is found by that, and its end says which it is. Hashes are of one VIN a group.
CLAIMED_BEGINNING, TOLD_BEGINNING = "WVVCLA7M9ZTS3", "WVVTEL7D9ZTS3"
# Whoever claims must say a VIN: it passes through the broker, which frees memory without wiping it.
CLAIMED = {name: f"{CLAIMED_BEGINNING}{9000 + n}" for n, name in enumerate(("claim", "wrong", "malformed", "hash"))}
TOLD = {name: f"{TOLD_BEGINNING}{9000 + n}" for n, name in enumerate(
    ("client-id", "user-name", "topic", "own", "will", "signals", "names", "malformed", "agent", "snappy", "checkin",
     "command", "result", "reason", "est", "hash"))}


def digest(group):
    return hashlib.sha256(group["hash"].encode()).hexdigest()


def forms_of(beginning, group):
    return needles([beginning, group["hash"]])


class Wire:
    """Every topic and payload that a client of ours is sent."""

    def __init__(self):
        self.kept = []

    def listen(self, connection):
        queue = connection.messages.put

        def keep(client, data, message):
            self.kept.append(message.topic.encode() + b" " + message.payload)
            queue(message)
        connection.paho.on_message = keep
        return connection


class Flows:
    def __init__(self, platform, directory):
        self.platform, self.directory, self.wire, self.open = platform, directory, Wire(), []
        platform.load_devices("LEAK-CLAIM", "LEAK-CLAIM-2")
        self.vehicle = Vehicle(platform, directory, make_vin(9_500_000), "LEAK-DRIVE")

    def close(self):
        for connection in self.open:
            connection.close()
        self.vehicle.close()

    # ---- claims ----

    def claim(self, client_id=None, expect=0, **options):
        mqtt = self.platform.info["mqtt"]
        made = Mqtt(self.platform, client_id or f"unit-{uuid.uuid4().hex[:12]}", mqtt["claimCertificate"],
                    mqtt["claimKey"], **options)
        self.open.append(self.wire.listen(made))
        made.connect(expect)
        return made

    def ask(self, unit, topic, request):
        unit.publish(topic, request)
        heard, payload = unit.receive()
        return heard.rsplit("/", 1)[1], json.loads(payload)

    def token(self, unit):
        """A retriable refusal (a process is coming back) is asked again."""
        def asked():
            verdict, answer = self.ask(unit, CREATE, {"certificateSigningRequest": make_csr(new_key())})
            return verdict == "accepted" and answer["certificateOwnershipToken"]
        return eventually("a certificate ahead of the VIN", asked)

    def run_claims(self):
        provision = f"$aws/provisioning-templates/{self.platform.info['mqtt']['template']}/provision/json"
        unit = self.claim()
        assert unit.subscribe(*(f"{topic}/{what}" for topic in (CREATE, provision)
                                for what in ("accepted", "rejected"))) == [1] * 4

        def say(token, vin, device, **more):
            request = {"certificateOwnershipToken": token, "parameters": {"VIN": vin, "DeviceId": device, **more}}
            return self.ask(unit, provision, request)[0]

        right, wrong, broken, _ = CLAIMED.values()
        token = self.token(unit)
        assert say(token, right, "LEAK-CLAIM") == "accepted"
        assert say(token, right, "LEAK-CLAIM-2") == "rejected"  # a used token
        assert say("no token at all", wrong, "LEAK-CLAIM-2") == "rejected"
        assert say(self.token(unit), wrong, "NOT-IN-THE-MANIFEST") == "rejected"
        assert say(self.token(unit), wrong, wrong) == "rejected"
        assert say(self.token(unit), wrong + "X", "LEAK-CLAIM-2") == "rejected"
        assert say(self.token(unit), digest(CLAIMED), "LEAK-CLAIM-2") == "rejected"
        assert say(wrong, wrong, "LEAK-CLAIM-2", Note=wrong) == "rejected"
        for payload in (f'{{"parameters": {{"VIN": "{broken}"', broken, f'["{broken}", "{digest(CLAIMED)}"]', f'{{"{broken}": 1}}'):
            assert self.ask(unit, provision, payload)[0] == "rejected"
            assert self.ask(unit, CREATE, payload)[0] == "rejected"
        self.claim(TOLD["client-id"], expect=None)
        self.claim(user=TOLD["user-name"], expect=None)
        assert all(code >= DENIED for code in unit.subscribe(f"{TOLD['topic']}/#", f"vehicles/{TOLD['topic']}/#"))
        for topic in (f"$aws/provisioning-templates/{TOLD['topic']}/provision/json", f"vehicles/{TOLD['topic']}/signals"):
            unit.publish_and_wait(topic, TOLD["topic"])

    # ---- a vehicle that drives ----

    def connect(self, **options):
        connection = self.vehicle.connection(**options)
        self.wire.listen(connection)
        connection.connect()
        return connection

    def run_names(self):
        vehicle = self.vehicle
        self.wire.listen(vehicle.connection(TOLD["client-id"])).connect(expect=None)
        self.connect(user=TOLD["user-name"]).close()
        will = TOLD["will"]
        for topic, payload in ((f"vehicles/{vehicle.id}/last", will), (f"vehicles/{vehicle.id}/{will}", "gone")):
            connection = self.wire.listen(vehicle.connection(will=(topic, payload, 1)))
            if connection.connect(expect=None) == 0:
                connection.paho.socket().shutdown(2)  # without DISCONNECT: a will would now be sent
                assert connection.wait_closed()

    def run_own_topics(self):
        """What a vehicle publishes to itself, and the topics that it makes up for that."""
        vehicle, vin = self.vehicle, TOLD["own"]
        connection = self.connect()
        assert connection.subscribe(f"vehicles/{vehicle.id}/#") == [1]
        assert connection.subscribe(f"vehicles/{vehicle.id}/{TOLD['topic']}/#")[0] >= DENIED
        connection.publish_and_wait(f"vehicles/{vehicle.id}/{TOLD['topic']}", "x")
        connection.publish_and_wait(f"vehicles/{vehicle.id}/diary", {"vin": vin, "hash": digest(TOLD)})
        connection.publish_and_wait(f"vehicles/{vehicle.id}/diary", "the last page")
        heard = []
        while not heard or heard[-1] != b"the last page":
            heard.append((connection.receive() or [None, b"the last page"])[1])
        connection.close()

    def run_telemetry(self):
        vehicle = self.vehicle
        connection = self.connect()
        mine, names, broken = TOLD["signals"], TOLD["names"], TOLD["malformed"]
        connection.send_signals({"Vehicle.VehicleIdentification.VIN": mine, "Vehicle.Speed": 1})
        connection.send_signals({"Vehicle.Cabin.Note": f"it is {mine}.", "Vehicle.Cabin.Hash": digest(TOLD), "Vehicle.Speed": 2})
        connection.send_signals({"Vehicle.Cabin.Lower": mine.lower(), "Vehicle.Cabin.Upper": digest(TOLD).upper()})
        connection.send_signals({f"Vehicle.{names}": 1, f"Vehicle.H{digest(TOLD)}": 1, names: names})
        topic = f"vehicles/{vehicle.id}/signals"
        for payload in (broken, f'{{"signals": {{"Vehicle.Speed": "{broken}"', f'["{broken}"]', f'{{"timestamp": "{broken}"}}',
                        b"\xff" + digest(TOLD).encode(),
                        f'{{"signals": {{"Vehicle.Note": "\\u{ord(broken[0]):04x}{broken[1:]}"}}}}'):
            connection.publish_and_wait(topic, payload)
        agent, packed, sync = TOLD["agent"].encode(), TOLD["snappy"].encode(), TOLD["checkin"]
        topic = f"$aws/iotfleetwise/vehicles/{vehicle.id}/"
        now = int(time.time() * 1000)
        for vin, pack in ((agent, bytes), (packed, snappy.compress)):
            signals = [(0, 1, b"starts with " + vin[:12]), (0, 2, vin), (0, 3, b"vin=" + vin + b";"),
                       (0, 4, digest(TOLD).encode())]
            message = fleetwise.data(signals, at=now, dtc_data=fleetwise.dtc(0, b"P0420", vin))
            connection.publish_and_wait(topic + "signals", pack(message))
            connection.publish_and_wait(topic + "signals", pack(message) + b"\xff")
        checkin = fleetwise.TYPE["Checkin"](document_sync_ids=[sync.encode(), digest(TOLD).encode()], timestamp_ms_epoch=now)
        for payload in (checkin.SerializeToString(), checkin.SerializeToString() + b"\xff", sync):
            connection.publish_and_wait(topic + "checkins", payload)
        connection.close()

    def run_commands(self, call):
        vehicle, path = self.vehicle, f"/v1/vehicles/{self.vehicle.id}/commands"
        vin, told, reason = TOLD["command"], TOLD["result"], TOLD["reason"]
        for body in ({"name": vin}, {"name": "note", "payload": {"vin": vin}}, {"name": "note", "payload": {vin: digest(TOLD)}},
                     {"name": "note", "payload": vin, "timeoutSeconds": vin}):
            assert call("crm", "POST", path, body).status in (400, 422), body
        connection = self.connect()
        answers = f"$aws/commands/things/{vehicle.id}/executions/+/response/+/json"
        assert connection.subscribe(vehicle.commands_filter(), answers) == [1, 1]
        for member in ({"result": {"vin": {"s": told}, told: {"s": digest(TOLD)}}},
                       {"statusReason": {"reasonCode": reason, "reasonDescription": f"{reason} {digest(TOLD)}"}},
                       {"statusReason": {"reasonCode": "VIN", "reasonDescription": f"({reason})"}}, {reason: reason}):
            made = call("crm", "POST", path, {"name": "note"})
            assert made.status == 202, made
            topic = f"$aws/commands/things/{vehicle.id}/executions/{made.json['commandId']}/request/json"
            vehicle.answer_command(connection, topic, "SUCCEEDED", **member)
            vehicle.answer_command(connection, topic, told)
        connection.publish_and_wait(f"$aws/commands/things/{vehicle.id}/executions/{uuid.uuid4()}/response/json", reason)
        connection.close()

    def run_est(self):
        vin, key = TOLD["est"], est.new_key(self.directory, "est-leak")
        claim = self.platform.info["mqtt"]["claimCertificate"], self.platform.info["mqtt"]["claimKey"]
        for csr in (est.make_csr(key, vin), est.make_csr(key, f"LEAK-CLAIM-2/O={vin}"),
                    est.make_csr(key, "LEAK-CLAIM-2", "-addext", f"subjectAltName=DNS:{vin}")):
            assert est.enroll(self.platform, csr, claim).status >= 400
            assert est.renew(self.platform, csr, (self.vehicle.certificate, self.vehicle.key)).status >= 400

    def run_simulator(self):
        """Its fleet's VINs follow from the seed; they are revealed by whoever calls."""
        fleet = self.directory / "fleet"
        self.platform.cli("simulate", "--vehicles", "2", "--rate", "10", "--seconds", "0.5", "--seed", "931", "--provision",
                          "claim", "--credentials", fleet)
        return sorted(path.name[7:43] for path in fleet.iterdir())

    def run(self, call):
        self.run_claims()
        self.run_names()
        self.run_own_topics()
        self.run_telemetry()
        self.run_commands(call)
        self.run_est()

    # ---- afterwards ----

    def wait_stored(self, mark):
        """What a vehicle sends now is stored; so everything before it was read by everybody."""
        connection = self.connect()
        connection.send_signals({"Vehicle.TraveledDistance": mark})
        path = f"/v1/vehicles/{self.vehicle.id}/signals/latest"
        eventually("the last mark is stored", lambda: self.platform.client("crm").get(path).json["signals"].get(
            "Vehicle.TraveledDistance", {}).get("value") == mark, 30)
        connection.close()

    def read_everything(self, call):
        for path in ("signals/latest", "signals?name=Vehicle.Speed", "signals?name=Vehicle.Cabin.Note", "commands", "history",
                     "certificates", "access-report"):
            call("crm", "GET", f"/v1/vehicles/{self.vehicle.id}/{path}")
            call("auditor", "GET", f"/v1/vehicles/{self.vehicle.id}/{path}")
        call("auditor", "GET", "/v1/alerts?limit=1000")
        call("admin", "GET", "/v1/claims")

    def ingest_metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.platform.port_base + 5}/metrics", timeout=10) as answer:
            return answer.read()

    def drive_on(self):
        """Ordinary traffic of others, which uses the broker's memory again."""
        self.platform.cli("simulate", "--vehicles", "20", "--rate", "50", "--seconds", "2", "--seed", "932", "--credentials",
                          self.directory / "others")
