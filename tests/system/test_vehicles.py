"""Vehicles that connect: admission, telemetry, commands, and the cut. Each against the whole platform and a real client."""
import contextlib
import datetime
import itertools
import json
import signal
import socket
import subprocess
import threading
import time
import types

import pytest

from certificates import issue, key_pem, make_csr, new_key
from conftest import make_vin
from installation import PROGRAMS, eventually
from mqtt import Deaf, Mqtt, Vehicle

REFUSED = 135  # MQTT 5, 0x87: not authorised
DENIED = 128   # a SUBACK's codes at and above
_devices = (f"DRIVE-{time.monotonic_ns()}-{n}" for n in itertools.count(1))
NOW_MS = int(time.time() * 1000) - 3_600_000


@pytest.fixture
def new_vehicle(platform, tmp_path):
    made = []

    def make():
        made.append(Vehicle(platform, tmp_path, make_vin(), next(_devices)))
        return made[-1]

    yield make
    for vehicle in made:
        vehicle.close()


@pytest.fixture
def vehicle(new_vehicle):
    return new_vehicle()


def row(platform, vehicle):
    answer = platform.client("admin").get(f"/v1/vehicles/{vehicle.id}")
    assert answer.status == 200, answer
    return answer


def change_state(platform, vehicle, state):
    """Again when its first connection has made it active meanwhile."""
    def patch():
        answer = platform.client("admin").request("PATCH", f"/v1/vehicles/{vehicle.id}", {"state": state}, headers={
            "If-Match": row(platform, vehicle).headers["etag"]})
        assert answer.status in (200, 412), answer
        return answer.status == 200
    eventually(f"it is {state}", patch)


def change_tcu(platform, vehicle, new_device):
    if new_device is not None:
        platform.load_devices(new_device)
    answer = platform.client("service-center").post("/v1/tcu-changes", {
        "referenceId": vehicle.id, "deviceId": vehicle.device_id, "newDeviceId": new_device})
    assert answer.status == 200, answer


def latest(platform, vehicle):
    answer = platform.client("crm").get(f"/v1/vehicles/{vehicle.id}/signals/latest")
    assert answer.status == 200, answer
    assert answer.json["referenceId"] == vehicle.id
    return {name: signal["value"] for name, signal in answer.json["signals"].items()}


def points(platform, vehicle, **query):
    text = "&".join(f"{name}={value}" for name, value in query.items())
    answer = platform.client("crm").get(f"/v1/vehicles/{vehicle.id}/signals?{text}")
    assert answer.status == 200, answer
    return [point["value"] for point in answer.json["points"]]


def send_command(platform, vehicle, name="lock", timeout=30, **members):
    answer = platform.client("crm").post(f"/v1/vehicles/{vehicle.id}/commands",
                                         {"name": name, "timeoutSeconds": timeout, **members})
    assert answer.status == 202, answer
    return answer.json["commandId"]


def command(platform, vehicle, command_id):
    answer = platform.client("crm").get(f"/v1/vehicles/{vehicle.id}/commands/{command_id}")
    assert answer.status == 200, answer
    return answer.json


# ---- who may connect --------------------------------------------------------------------------------------


def test_a_client_id_that_is_not_the_certificates_is_refused(new_vehicle):
    one, other = new_vehicle(), new_vehicle()
    for client_id in (other.id, one.id.upper(), one.id[:-1], "vinveild", "factory"):
        one.connection(client_id).connect(expect=REFUSED)


def test_without_a_certificate_nobody_connects(platform, vehicle):
    for transport in ("tcp", "websockets"):
        assert Mqtt(platform, vehicle.id, transport=transport).connect(expect=None) != 0
    assert Mqtt(platform, "vinveild", user="vinveild").connect(expect=None) != 0


def test_certificates_of_others_are_refused(platform, vehicle, tmp_path):
    """An operator's, a self-signed one in the vehicle's name, and one whose authority only calls itself ours."""
    paths = platform.info["clients"]["admin"]
    assert Mqtt(platform, "admin", paths["certificate"], paths["key"]).connect(expect=None) == "refused"
    certificate, key, _ = issue(tmp_path, vehicle.id)
    assert Mqtt(platform, vehicle.id, certificate, key).connect(expect=None) == "refused"
    operator_root = (platform.directory / "ca/operator-root.pem", platform.directory / "roots/operator-root.key")
    certificate, key, _ = issue(tmp_path, vehicle.id, operator_root)
    assert Mqtt(platform, vehicle.id, certificate, key).connect(expect=None) == "refused"


@pytest.mark.parametrize("transport,protocol,port", [("tcp", 5, "port"), ("tcp", 4, "port"), ("tcp", 5, "portAlpn"),
                                                     ("websockets", 5, "portWebSockets"),
                                                     ("websockets", 4, "portWebSockets")])
def test_a_vehicle_connects_on_every_listener(platform, vehicle, transport, protocol, port):
    alpn = "x-amzn-mqtt-ca" if port == "portAlpn" else None
    connection = vehicle.connect(transport=transport, protocol=protocol, port=platform.info["mqtt"][port], alpn=alpn)
    connection.send_signals({"Vehicle.Speed": 7.5})
    eventually("what it sent is there", lambda: latest(platform, vehicle).get("Vehicle.Speed") == 7.5)


def test_the_first_connection_makes_it_active_and_a_user_name_is_ignored(platform, vehicle):
    assert row(platform, vehicle).json["state"] == "provisioned"
    vehicle.connect(user="whoever")
    eventually("it is active", lambda: row(platform, vehicle).json["state"] == "active")


def read_broker_config(platform):
    """(the whole broker's settings, [a listener's settings]); each setting stands once."""
    whole, listeners, now = {}, [], None
    for line in (platform.directory / "gateway/mosquitto.conf").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        name, _, value = line.partition(" ")
        if name == "listener":
            now = {}
            listeners.append(now)
        place = whole if now is None else now
        assert name not in place or name == "log_type", f"{name} stands twice"
        place[name] = value
    return whole, listeners


def test_the_brokers_configuration_has_no_way_round_the_plugin(platform):
    """Each of these would be one, or has a broker that stalls, forgets or tells: what was measured of Mosquitto 2.0."""
    whole, listeners = read_broker_config(platform)
    assert whole["plugin"].endswith("/mosquitto_vinveil.so")
    wanted = {"allow_anonymous": "false", "per_listener_settings": "false", "set_tcp_nodelay": "true", "persistence": "false",
              "connection_messages": "false", "sys_interval": "0"}
    assert {name: whole.get(name) for name in wanted} == wanted
    assert int(whole["max_queued_messages"]) > 0 and "message_size_limit" not in whole and "acl_file" not in whole
    own, *outer = listeners
    assert own == {"listener": f"0 {platform.directory}/gateway/run/broker.sock"}
    assert len(outer) == 3 and [listener["protocol"] for listener in outer] == ["mqtt", "mqtt", "websockets"]
    for listener in outer:
        wanted = {"require_certificate": "true", "use_identity_as_username": "false", "use_subject_as_username": "false",
                  "max_qos": "1"}
        assert {name: listener.get(name) for name in wanted} == wanted
        assert listener["listener"].endswith(" 127.0.0.1") and "crlfile" not in listener
    assert outer[2]["socket_domain"] == "ipv4"
    mode = (platform.directory / "gateway/token").stat().st_mode | (platform.directory / "gateway/mosquitto.conf").stat().st_mode
    assert mode & 0o77 == 0, "others can read the token or the configuration"


def test_no_listener_is_reached_from_outside(platform):
    """The WebSockets listener would bind every address if it was not told."""
    for name in ("port", "portAlpn", "portWebSockets"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", platform.info["mqtt"][name]), 2)
        socket.create_connection(("127.0.0.1", platform.info["mqtt"][name]), 2).close()


# ---- topics -----------------------------------------------------------------------------------------------


def test_filters_that_reach_others_are_refused(new_vehicle):
    one, other = new_vehicle(), new_vehicle()
    connection = one.connect()
    filters = [f"vehicles/{other.id}/signals", f"vehicles/{other.id}/#", "vehicles/+/signals", "#", "+/+/signals", "$SYS/#",
               f"$share/group/vehicles/{one.id}/signals", f"$aws/commands/things/{other.id}/#",
               "$aws/commands/things/+/executions/+/request/json", "$CONTROL/#", "$aws/certificates/create-from-csr/json/accepted"]
    assert all(code >= DENIED for code in connection.subscribe(*filters))
    own = [f"vehicles/{one.id}/#", one.commands_filter(), f"$aws/iotfleetwise/vehicles/{one.id}/collection_schemes"]
    assert connection.subscribe(*own) == [1, 1, 1]


def test_what_is_sent_in_the_name_of_another_is_not_stored(platform, new_vehicle):
    one, other = new_vehicle(), new_vehicle()
    connection, listener = one.connect(), other.connect()
    assert listener.subscribe(f"vehicles/{other.id}/#") == [1]
    # Dropped, and acknowledged all the same: the broker has judged it before the other one sends.
    connection.publish_and_wait(f"vehicles/{other.id}/signals", {"signals": {"Vehicle.Speed": 99}})
    connection.publish_and_wait(f"$aws/iotfleetwise/vehicles/{other.id}/signals", b"\x08\x01")
    listener.send_signals({"Vehicle.TraveledDistance": 1})
    eventually("its own is there", lambda: "Vehicle.TraveledDistance" in latest(platform, other))
    assert "Vehicle.Speed" not in latest(platform, other) and "Vehicle.Speed" not in latest(platform, one)
    topic, payload = listener.receive()
    assert topic == f"vehicles/{other.id}/signals" and b"TraveledDistance" in payload, "it heard another vehicle"


def test_no_will_is_ever_published(new_vehicle):
    """It would reach subscribers past the spool."""
    one = new_vehicle()
    topic, persistent = f"vehicles/{one.id}/signals", {"protocol": 4, "clean": False}
    connection = one.connect(will=(topic, '{"signals":{"Vehicle.Speed":1}}', 1, False), **persistent)
    assert connection.subscribe(topic) == [1]
    connection.paho.socket().shutdown(socket.SHUT_RDWR)  # without a farewell
    assert connection.wait_closed() is not None
    # Its session has kept what came meanwhile, the will before all else.
    listener = one.connect(**persistent)
    listener.send_signals({"Vehicle.Speed": 2})
    _, payload = listener.receive()
    assert json.loads(payload) == {"signals": {"Vehicle.Speed": 2}}, "the will was published"


# ---- telemetry --------------------------------------------------------------------------------------------


def test_latest_values_and_ranges_by_reference_id(platform, vehicle):
    connection = vehicle.connect()
    for number in (3, 1, 2):  # late ones
        connection.send_signals({"Vehicle.Speed": number, "Vehicle.IsMoving": True}, NOW_MS + number * 1000)
    # Points are there a moment before the latest values are: these come last.
    connection.send_signals({"Vehicle.TraveledDistance": 9}, NOW_MS)
    eventually("all is stored", lambda: "Vehicle.TraveledDistance" in latest(platform, vehicle))
    assert latest(platform, vehicle) == {"Vehicle.Speed": 3, "Vehicle.IsMoving": True, "Vehicle.TraveledDistance": 9}
    assert points(platform, vehicle, name="Vehicle.Speed") == [1, 2, 3]


def test_what_comes_twice_is_stored_once(platform, vehicle):
    connection = vehicle.connect()
    for _ in range(3):
        connection.send_signals({"Vehicle.Speed": 5}, NOW_MS)
    connection.send_signals({"Vehicle.Speed": 6}, NOW_MS + 1)
    eventually("the last one is stored", lambda: 6 in points(platform, vehicle, name="Vehicle.Speed"))
    assert points(platform, vehicle, name="Vehicle.Speed") == [5, 6]


def test_nonsense_is_acknowledged_and_stops_nothing(platform, vehicle):
    connection = vehicle.connect()
    topic = f"vehicles/{vehicle.id}/signals"
    for payload in (b"", b"{", b"\xff\xfe", b'{"signals":{"Vehicle.Speed":NaN}}', b"[" * 500, b'{"signals":[]}',
                    json.dumps({"signals": {"Vehicle.Speed": {"deep": [1]}}}).encode(), b"x" * 100_000):
        connection.publish_and_wait(topic, payload)
    connection.send_signals({"Vehicle.Speed": 4})
    eventually("the good one is stored", lambda: latest(platform, vehicle).get("Vehicle.Speed") == 4)


def test_a_stranger_reads_no_telemetry(platform, vehicle):
    vehicle.connect().send_signals({"Vehicle.Speed": 4})
    eventually("it is stored", lambda: latest(platform, vehicle))
    for path in ("signals/latest", "signals?name=Vehicle.Speed"):
        assert platform.client("stranger").get(f"/v1/vehicles/{vehicle.id}/{path}").status == 404
        assert platform.client("factory").get(f"/v1/vehicles/{vehicle.id}/{path}").status == 403


def flood(vehicle, payload=json.dumps({"timestamp": NOW_MS, "signals": {"Vehicle.Speed": 1}}), at_once=1000):
    """Sends more than the limit for as long as the broker takes it; waits for no acknowledgement, or that would be the limit."""
    connection = vehicle.connection(protocol=4)  # MQTT 5 has the broker say how many may be under way
    connection.paho.max_inflight_messages_set(0)
    connection.connect()
    for _ in range(20):
        for _ in range(at_once):
            connection.publish(f"vehicles/{vehicle.id}/signals", payload)
        if connection.closed.wait(1):
            break
    return connection


def test_a_flood_by_one_vehicle_does_not_harm_another(platform, new_vehicle):
    one, other = new_vehicle(), new_vehicle()
    calm, closed = other.connect(), []
    flooding = threading.Thread(target=lambda: closed.append(flood(one).wait_closed()))
    flooding.start()
    for number in range(20):
        calm.send_signals({"Vehicle.Speed": number}, NOW_MS + number)
    flooding.join()
    assert closed and closed[0] is not None, "the flood was not limited"
    assert not calm.closed.is_set()
    eventually("the other's is stored", lambda: latest(platform, other).get("Vehicle.Speed") == 19)


def test_a_flood_of_bytes_is_one_too(platform, new_vehicle):
    """What is behind the broker takes bytes: a hundred messages a second of 128 KiB each kept ingest busy for all."""
    one, other = new_vehicle(), new_vehicle()
    calm = other.connect()
    batch = json.dumps([{"timestamp": NOW_MS + number, "signals": {"Vehicle.Speed": 1}} for number in range(2000)])
    assert flood(one, batch, at_once=30).wait_closed() is not None, "the flood was not limited"
    calm.send_signals({"Vehicle.Speed": 7}, NOW_MS)
    eventually("the other's is stored", lambda: latest(platform, other).get("Vehicle.Speed") == 7)


@pytest.mark.parametrize("packet", [Deaf.subscription, Deaf.unsubscription])
def test_a_flood_of_subscriptions_and_of_their_ends_is_one_too(new_vehicle, packet):
    vehicle = new_vehicle()
    deaf = Deaf(vehicle)
    deaf.connect()
    flood = 1000 * packet(f"vehicles/{vehicle.id}/room")
    with contextlib.suppress(OSError):  # it may be over before all is sent
        for _ in range(20):
            deaf.connection.sendall(flood)
    assert deaf.is_cut_off(), "the flood was not limited"
    deaf.close()


def resident_mib(pid):
    lines = open(f"/proc/{pid}/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


LARGE = {
    "payload": lambda topic: Deaf.message(topic, bytes(120_000)),
    "payload at QoS 0": lambda topic: Deaf.message(topic, bytes(120_000), qos=0),
    "properties": lambda topic: Deaf.message(topic, properties=3 * Deaf.user_property("name", "x" * 60_000)),
    "topic": lambda topic: Deaf.message(topic + "/" + "x" * 60_000),
}


@pytest.mark.plain
@pytest.mark.parametrize("large", LARGE)
def test_a_vehicle_that_takes_nothing_of_what_it_sends_itself_takes_no_memory(own_platform, tmp_path, large):
    """A window of 65,535 messages is MQTT 5's own; of 128 KiB each they would be 8 GB, and the end of the broker."""
    platform = own_platform("--messages-per-second", "100000")
    vehicle = Vehicle(platform, tmp_path, make_vin(), "DEAF-1")
    deaf, topic = Deaf(vehicle), f"vehicles/{vehicle.id}/room"
    broker = platform.read_info()["processes"]["mosquitto"]
    deaf.connect()
    deaf.subscribe(topic + "/#", 0 if large.endswith("0") else 1)
    message, before = LARGE[large](topic), resident_mib(broker)
    for _ in range(800):
        deaf.connection.sendall(message)
    time.sleep(1)
    assert resident_mib(broker) - before < 48
    deaf.close()


@pytest.mark.plain
def test_what_a_vehicle_does_not_take_is_forgotten(own_platform, tmp_path):
    """Mosquitto never frees what was to go to a client ID whose queue is full."""
    platform = own_platform("--messages-per-second", "100000", "--rate-limit", "5000")
    vehicle = Vehicle(platform, tmp_path, make_vin(), "DEAF-2")
    deaf, broker = Deaf(vehicle), platform.read_info()["processes"]["mosquitto"]
    for _ in range(100):
        answer = platform.client("crm").post(f"/v1/vehicles/{vehicle.id}/commands", {"name": "x", "payload": "y" * 8000})
        assert answer.status == 202, answer
    deaf.connect()
    before = resident_mib(broker)
    for _ in range(120):
        deaf.connection.sendall(deaf.subscription(vehicle.commands_filter()))
        time.sleep(0.05)  # each time all of them are sent: 96 MB
    time.sleep(2)
    assert resident_mib(broker) - before < 48
    deaf.close()


def metrics(platform, names):
    """{name: value} of these; {} while one is missing, as the broker's are when it has not told for some seconds."""
    found = {}
    for line in platform.operations("/metrics").body.decode().splitlines():
        name, _, value = line.removeprefix("vinveil_").partition(" ")
        if name in names:
            found[name] = int(value)
    return found if len(found) == len(names) else {}


def test_what_the_broker_counts_is_shown(platform, new_vehicle):
    names = ("broker_masked_total", "broker_refused_total", "broker_telemetry_total", "broker_flooded_total")
    before = eventually("the broker has told", lambda: metrics(platform, names))
    vehicle = new_vehicle()
    connection = vehicle.connect()
    connection.send_signals({"Vehicle.Speed": 1, "Vehicle.Cabin.Note": "1M8GDM9AXKP042788"}, NOW_MS)
    vehicle.connection(client_id="7d444840-9dc0-41d1-b245-5ffdce74fad2").connect(expect=135)
    assert flood(vehicle).wait_closed() is not None

    def all_have_grown():
        now = metrics(platform, names)
        return now and all(now[name] > before[name] for name in names)
    eventually("the broker has told of it", all_have_grown)


# ---- commands ---------------------------------------------------------------------------------------------


def test_a_command_and_its_answer(platform, vehicle):
    connection = vehicle.connect()
    assert connection.subscribe(f"$aws/commands/things/{vehicle.id}/#") == [1]
    command_id = send_command(platform, vehicle, "unlock", payload={"name": "unlock", "doors": ["driver"]})
    topic, payload = connection.receive()
    assert topic == f"$aws/commands/things/{vehicle.id}/executions/{command_id}/request/json"
    assert json.loads(payload) == {"name": "unlock", "doors": ["driver"]}
    vehicle.answer_command(connection, topic, "IN_PROGRESS")
    eventually("it is under way", lambda: command(platform, vehicle, command_id)["status"] == "IN_PROGRESS")
    vehicle.answer_command(connection, topic, "SUCCEEDED", result={"locked": {"b": False}})
    done = eventually("it is done", lambda: (now := command(platform, vehicle, command_id))["status"] == "SUCCEEDED" and now)
    assert done["name"] == "unlock" and done["result"] == {"locked": {"b": False}}


def test_what_cannot_follow_is_rejected_to_the_vehicle(platform, vehicle):
    connection = vehicle.connect()
    answers = f"$aws/commands/things/{vehicle.id}/executions/+/response/+/json"
    assert connection.subscribe(vehicle.commands_filter(), answers) == [1, 1]
    command_id = send_command(platform, vehicle)
    topic, _ = connection.receive()
    vehicle.answer_command(connection, topic, "FAILED", statusReason={"reasonCode": "JAMMED", "reasonDescription": "door"})
    vehicle.answer_command(connection, topic, "SUCCEEDED")
    heard = []
    while len(heard) < 2:
        name, _ = connection.receive()
        # The request may come twice, when the command is made while the vehicle subscribes.
        heard += [] if name == topic else [name.rsplit("/", 2)[1]]
    assert heard == ["accepted", "rejected"]
    failed = command(platform, vehicle, command_id)
    assert failed["status"] == "FAILED" and failed["statusReason"]["reasonCode"] == "JAMMED"


def test_a_command_waits_for_a_vehicle_that_is_away(platform, vehicle):
    command_id = send_command(platform, vehicle)
    assert command(platform, vehicle, command_id)["status"] == "CREATED"
    connection = vehicle.connect()
    connection.subscribe(vehicle.commands_filter())
    topic, _ = connection.receive()
    assert command_id in topic


def test_a_time_out_is_not_the_last_word(platform, vehicle):
    connection = vehicle.connect()
    connection.subscribe(vehicle.commands_filter())
    command_id = send_command(platform, vehicle, timeout=1)
    topic, _ = connection.receive()
    eventually("it is timed out", lambda: command(platform, vehicle, command_id)["status"] == "TIMED_OUT")
    vehicle.answer_command(connection, topic, "SUCCEEDED")
    eventually("it was done after all", lambda: command(platform, vehicle, command_id)["status"] == "SUCCEEDED")


def test_another_vehicle_cannot_answer(platform, new_vehicle):
    one, other = new_vehicle(), new_vehicle()
    connection = one.connect()
    connection.subscribe(one.commands_filter())
    command_id = send_command(platform, one)
    topic, _ = connection.receive()
    intruder = other.connect()
    other.answer_command(intruder, topic, "SUCCEEDED")
    other.answer_command(intruder, topic.replace(one.id, other.id), "SUCCEEDED")
    # All that vehicles did goes one way: what came before this was handled before it, and SUCCEEDED would be the last word.
    one.answer_command(connection, topic, "IN_PROGRESS")
    eventually("its own answer counts", lambda: command(platform, one, command_id)["status"] != "CREATED")
    assert command(platform, one, command_id)["status"] == "IN_PROGRESS"


# ---- the cut ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "websockets"])
def test_a_tcu_change_cuts_the_line_and_the_new_unit_comes_back(platform, vehicle, transport):
    connection = vehicle.connect(transport=transport)
    old_certificate, old_key, old_id = vehicle.certificate, vehicle.key, vehicle.id
    new_device = next(_devices)
    change_tcu(platform, vehicle, new_device)
    assert connection.wait_closed() is not None, "the live session goes on"
    for _ in range(3):
        assert Mqtt(platform, old_id, old_certificate, old_key, transport=transport).connect(expect=REFUSED)
    vehicle.device_id = new_device
    vehicle.provision()
    assert vehicle.id == old_id
    vehicle.connect(transport=transport).send_signals({"Vehicle.Speed": 33})
    eventually("the new unit's telemetry is there", lambda: latest(platform, vehicle).get("Vehicle.Speed") == 33)
    assert Mqtt(platform, old_id, old_certificate, old_key).connect(expect=REFUSED)


def test_deleting_the_tcu_cuts_the_line(platform, vehicle):
    connection = vehicle.connect()
    change_tcu(platform, vehicle, None)
    assert connection.wait_closed() is not None
    vehicle.connection().connect(expect=REFUSED)


def test_suspension_cuts_the_line_and_resumption_opens_it(platform, vehicle):
    connection = vehicle.connect()
    eventually("it is active", lambda: row(platform, vehicle).json["state"] == "active")
    change_state(platform, vehicle, "suspended")
    assert connection.wait_closed() is not None
    vehicle.connection().connect(expect=REFUSED)
    change_state(platform, vehicle, "active")
    eventually("it may connect again", lambda: vehicle.connection().connect(expect=None) == 0)


def test_decommissioning_cuts_the_line_for_good(platform, vehicle):
    connection = vehicle.connect()
    change_state(platform, vehicle, "decommissioned")
    assert connection.wait_closed() is not None
    vehicle.connection().connect(expect=REFUSED)


def test_a_cut_leaves_the_others_connected(platform, new_vehicle):
    one, other = new_vehicle(), new_vehicle()
    cut, kept = one.connect(), other.connect()
    change_tcu(platform, one, next(_devices))
    assert cut.wait_closed() is not None
    kept.send_signals({"Vehicle.Speed": 2})
    assert not kept.closed.is_set()


# ---- claims -----------------------------------------------------------------------------------------------

CREATE = "$aws/certificates/create-from-csr/json"


class Claim(Mqtt):
    """A telematics unit with the claim certificate it left the factory with."""

    def __init__(self, platform, client_id=None, **options):
        mqtt = platform.info["mqtt"]
        super().__init__(platform, client_id or f"unit-{next(_devices)}", mqtt["claimCertificate"], mqtt["claimKey"],
                         **options)
        self.provision_topic = f"$aws/provisioning-templates/{mqtt['template']}/provision/json"

    def ask(self, topic, request):
        """("accepted" or "rejected", the answer)."""
        self.publish(topic, request)
        heard, payload = self.receive()
        assert heard.rsplit("/", 1)[0] == topic
        return heard.rsplit("/", 1)[1], json.loads(payload)

    def start(self):
        self.connect()
        assert self.subscribe(*(f"{topic}/{what}" for topic in (CREATE, self.provision_topic)
                                for what in ("accepted", "rejected"))) == [1] * 4
        return self

    def certificate_for(self, key):
        verdict, answer = self.ask(CREATE, {"certificateSigningRequest": make_csr(key)})
        assert verdict == "accepted", answer
        return answer

    def provision(self, token, vin, device):
        return self.ask(self.provision_topic, {"certificateOwnershipToken": token,
                                               "parameters": {"VIN": vin, "DeviceId": device}})


@pytest.fixture
def claim(platform):
    made = Claim(platform).start()
    yield made
    made.close()


def keep(directory, name, certificate, key):
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    paths[0].write_text(certificate)
    paths[1].write_text(key_pem(key))
    return paths


def test_a_unit_provisions_itself_by_claim(platform, claim, tmp_path):
    device, key = next(_devices), new_key()
    platform.load_devices(device)
    ahead = claim.certificate_for(key)
    paths = keep(tmp_path, "unit", ahead["certificatePem"], key)
    verdict, answer = claim.provision(ahead["certificateOwnershipToken"], make_vin(), device)
    assert verdict == "accepted", answer
    # The certificate is let in before the answer goes out.
    vehicle = Mqtt(platform, answer["thingName"], *paths)
    vehicle.connect()
    vehicle.send_signals({"Vehicle.Speed": 11})
    vehicle.close()
    assert platform.client("factory").get(f"/v1/vehicles?deviceId={device}").status == 200


def test_a_certificate_issued_ahead_connects_nowhere(platform, claim, tmp_path):
    from cryptography import x509
    key = new_key()
    ahead = claim.certificate_for(key)
    paths = keep(tmp_path, "ahead", ahead["certificatePem"], key)
    name = x509.load_pem_x509_certificate(ahead["certificatePem"].encode()).subject.get_attributes_for_oid(
        x509.NameOID.COMMON_NAME)[0].value
    Mqtt(platform, name, *paths).connect(expect=REFUSED)


def test_a_token_is_good_once_and_for_known_devices_only(platform, claim):
    device = next(_devices)
    platform.load_devices(device)
    verdict, answer = claim.provision(claim.certificate_for(new_key())["certificateOwnershipToken"], make_vin(),
                                      "NOT-IN-THE-MANIFEST")
    assert verdict == "rejected" and answer["statusCode"] >= 400 and answer["errorCode"] and answer["errorMessage"]
    token = claim.certificate_for(new_key())["certificateOwnershipToken"]
    assert claim.provision(token, make_vin(), device)[0] == "accepted"
    verdict, answer = claim.provision(token, make_vin(), device)
    assert verdict == "rejected", answer


def test_answers_reach_the_asking_connection_only(platform, claim):
    from cryptography import x509
    other, key = Claim(platform).start(), new_key()
    claim.certificate_for(new_key())
    # Answers go out in the order of the questions: the first that this one hears is to its own.
    heard = x509.load_pem_x509_certificate(other.certificate_for(key)["certificatePem"].encode())
    assert heard.public_key().public_numbers() == key.public_key().public_numbers(), "another claim heard the answer"
    other.close()


def test_a_claim_may_do_nothing_else(platform, vehicle, claim):
    assert all(code >= DENIED for code in claim.subscribe(f"vehicles/{vehicle.id}/#", "#", "$aws/commands/things/#"))
    claim.publish_and_wait(f"vehicles/{vehicle.id}/signals", {"signals": {"Vehicle.Speed": 66}})
    vehicle.connect().send_signals({"Vehicle.TraveledDistance": 1})
    eventually("the vehicle's own is there", lambda: latest(platform, vehicle))
    assert "Vehicle.Speed" not in latest(platform, vehicle)


def test_a_claim_cannot_push_a_vehicle_off(platform, vehicle):
    connection = vehicle.connect()
    Claim(platform, vehicle.id).connect(expect=REFUSED)
    connection.send_signals({"Vehicle.Speed": 1})
    assert not connection.closed.is_set()


# ---- the simulator ----------------------------------------------------------------------------------------


def simulate(platform, *options):
    return json.loads(platform.cli("simulate", "--json", *map(str, options)).stdout)


@pytest.mark.parametrize("way,seed", [("api", 7001), ("claim", 7002)])
def test_a_simulated_fleet_drives_and_goes_on(platform, tmp_path, way, seed):
    options = ("--vehicles", 5, "--rate", 20, "--provision", way, "--seed", seed, "--credentials", tmp_path / "fleet")
    fleet = Fleet(platform, *options).wait_connected()
    ids = sorted(path.name[7:43] for path in (tmp_path / "fleet").iterdir())
    assert all(path.stat().st_mode & 0o77 == 0 for path in (tmp_path / "fleet").iterdir())
    for reference_id in ids:
        car = types.SimpleNamespace(id=reference_id)
        eventually("it drives", lambda: len(points(platform, car, name="Vehicle.CurrentLocation.Latitude")) >= 10)
        eventually("its latest place is known", lambda: "Vehicle.CurrentLocation.Latitude" in latest(platform, car))
    first = fleet.stop()
    assert first["provisioned"] == first["connected"] == 5
    assert first["published"] >= 50 and first["acknowledged"] == first["published"] and first["refused"] == 0
    again = simulate(platform, *options, "--seconds", 1)
    assert again["provisioned"] == 0 and again["connected"] == 5 and again["seconds"] >= 1
    assert ids == sorted(path.name[7:43] for path in (tmp_path / "fleet").iterdir())


def test_simulated_vehicles_whose_keys_are_lost_get_new_ones(platform, tmp_path):
    options = ("--vehicles", 2, "--rate", 0, "--seconds", 0.1, "--seed", 7003)
    simulate(platform, *options, "--credentials", tmp_path / "one")
    again = simulate(platform, *options, "--credentials", tmp_path / "two")
    assert again["provisioned"] == again["connected"] == 2
    assert ({path.name for path in (tmp_path / "one").iterdir()} == {path.name for path in (tmp_path / "two").iterdir()})


class Fleet:
    """`vinveil simulate`, driving beside the test."""

    def __init__(self, platform, *options):
        self.process = subprocess.Popen(
            [PROGRAMS / "vinveil", "simulate", "--data", platform.directory, "--json", *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def wait_connected(self):
        assert any(line.rstrip().endswith(" connected") for line in self.process.stderr), "it did not connect"
        return self

    def stop(self):
        """Its summary."""
        self.process.send_signal(signal.SIGTERM)
        output, errors = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, errors
        return json.loads(output)


def test_a_simulated_vehicle_obeys_fails_and_rejects(platform, tmp_path):
    fleet = Fleet(platform, "--vehicles", 1, "--rate", 0, "--seed", 7004, "--credentials", tmp_path / "fleet", "--fail",
                  "climate-on").wait_connected()
    reference_id = next((tmp_path / "fleet").iterdir()).name[7:43]
    car = types.SimpleNamespace(id=reference_id)

    def outcome(name, status, **members):
        command_id = send_command(platform, car, name, **members)
        return eventually(f"{name} is {status}",
                          lambda: (now := command(platform, car, command_id))["status"] == status and now)

    assert outcome("lock", "SUCCEEDED")["result"]["locked"] == {"b": True}
    assert "latitude" in outcome("where", "SUCCEEDED", payload={"name": "locate"})["result"]
    assert outcome("climate-on", "FAILED")["statusReason"]["reasonCode"] == "SIMULATED"
    assert outcome("self-destruct", "REJECTED")["statusReason"]["reasonCode"] == "UNKNOWN_COMMAND"
    report = fleet.stop()
    assert report["commands"] == 4 and report["commandsRejected"] == 0


def test_a_simulated_fleet_survives_a_broker_that_dies(own_platform, tmp_path):
    platform = own_platform()
    fleet = Fleet(platform, "--vehicles", 10, "--rate", 10).wait_connected()
    info = platform.read_info()
    assert sorted(info["processes"]) == ["mosquitto", "vinveil-ingest", "vinveil-keyd", "vinveild"]
    cars = [types.SimpleNamespace(id=row["referenceId"])
            for row in platform.client("admin").get("/v1/vehicles").json["vehicles"]]
    assert len(cars) == 10
    platform.wait_restarted("mosquitto", platform.kill("mosquitto"))
    since = datetime.datetime.utcnow().isoformat() + "Z"
    for car in cars:
        eventually("it has come back", lambda: points(platform, car, name="Vehicle.Speed", **{"from": since}), pause=0.1)
    report = fleet.stop()
    assert report["connected"] == 10 and report["connections"] >= 20 and report["disconnections"] >= 10, report
    assert report["acknowledged"] == report["published"] and report["refused"] == 0, report


def test_simulate_says_what_is_missing(platform, tmp_path):
    for options, words in (((), "say where"), (("--endpoint", "nowhere"), "HOST:PORT"), (("--vehicles", "0"), "--vehicles"),
                           (("--rate", "fast"), "--rate"), (("--provision", "magic"), "api or claim")):
        done = subprocess.run([PROGRAMS / "vinveil", "simulate", *options], capture_output=True, text=True)
        assert done.returncode == 2 and words in done.stderr, (options, done.stderr)


def test_simulate_fails_and_says_so_when_nobody_can_connect(platform, tmp_path):
    """Also when TLS fails: there the library tells nobody that its connection has ended."""
    def drive(*options):
        return subprocess.run(
            [PROGRAMS / "vinveil", "simulate", "--data", platform.directory, "--vehicles", "2", "--seed", "4711", "--seconds",
             "1", "--credentials", tmp_path, *options], capture_output=True, text=True, timeout=60)
    assert drive("--only-provision").returncode == 0
    for options in (("--ca", platform.directory / "ca" / "device-root.pem"), ("--endpoint", "127.0.0.1:9")):
        done = drive(*options)
        assert done.returncode == 1 and "nobody could connect" in done.stderr, (options, done)
    assert "(127.0.0.1:9: Connection refused)" in done.stderr, done
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = drive("--endpoint", f"127.0.0.1:{silent.getsockname()[1]}")
    assert done.returncode == 1 and "takes the connection, and does not answer" in done.stderr, done
    done = drive("--ca", tmp_path / "none.pem")
    assert done.returncode == 1 and "none.pem: No such file" in done.stderr, done


def test_a_second_vinveil_dev_leaves_the_first_ones_configuration_alone(platform):
    config = (platform.directory / "vinveild.conf").read_bytes()
    done = subprocess.run([PROGRAMS / "vinveil", "dev", "--data", platform.directory, "--port-base", "31900"],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "another vinveil dev runs" in done.stderr, done
    assert (platform.directory / "vinveild.conf").read_bytes() == config
