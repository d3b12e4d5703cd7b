"""Vehicles with a FleetWise edge agent: what the operator loads reaches them, and what they send has names."""
import itertools
import json
import sys
import time

import pytest
import snappy

from conftest import make_vin
from installation import ROOT, eventually
from mqtt import Vehicle

sys.path.insert(0, str(ROOT / "tests/vectors"))
import fleetwise  # noqa: E402

EXAMPLE, SCHEMES = ROOT / "doc/examples/fleetwise.json", ROOT / "doc/examples/fleetwise-schemes.json"
_devices = (f"AGENT-{number}" for number in itertools.count(1))


@pytest.fixture
def new_agent(platform, tmp_path):
    made = []

    def make():
        device = next(_devices)
        platform.load_devices(device)
        made.append(Agent(platform, tmp_path, make_vin(), device))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


@pytest.fixture
def agent(new_agent):
    return new_agent()


class Agent(Vehicle):
    """A vehicle that speaks the edge agent's messages, made by Google's protobuf from the agent's own field numbers."""

    def topic(self, name):
        return f"$aws/iotfleetwise/vehicles/{self.id}/{name}"

    def start(self):
        connection = self.connect(user="ignored")
        assert connection.subscribe(self.topic("decoder_manifests"), self.topic("collection_schemes")) == [1, 1]
        return connection

    def check_in(self, connection, *sync_ids):
        message = fleetwise.TYPE["Checkin"](document_sync_ids=[text.encode() for text in sync_ids],
                                            timestamp_ms_epoch=int(time.time() * 1000))
        connection.publish_and_wait(self.topic("checkins"), message.SerializeToString())

    def receive_documents(self, connection):
        """{topic's last part: message} of both."""
        kinds = {"decoder_manifests": "DecoderManifest", "collection_schemes": "CollectionSchemes"}
        found = {}
        while len(found) < 2:
            topic, payload = connection.receive() or pytest.fail(f"only {list(found)} came")
            name = topic.removeprefix(self.topic(""))
            found[name] = fleetwise.TYPE[kinds[name]].FromString(payload)
        return found["decoder_manifests"], found["collection_schemes"]


def load(platform, *arguments, **options):
    return platform.cli("signals", "load", EXAMPLE, *arguments, "--json", **options)


def latest(platform, agent):
    answer = platform.client("admin").get(f"/v1/vehicles/{agent.id}/signals/latest")
    assert answer.status == 200, answer
    return {name: entry["value"] for name, entry in answer.json["signals"].items()}


def test_a_loading_is_listed_and_stays_over_a_restart(own_platform):
    platform = own_platform()
    assert json.loads(platform.cli("signals", "list", "--json").stdout) == {"documents": []}
    made = json.loads(load(platform, "--schemes", SCHEMES).stdout)
    assert made["decoderManifest"]["signals"] == 6 and made["collectionSchemes"]["schemes"] == 2
    assert json.loads(load(platform, "--schemes", SCHEMES).stdout) == made
    vinveild = platform.kill("vinveild")
    platform.wait_restarted("vinveild", vinveild)
    documents = json.loads(platform.cli("signals", "list", "--json").stdout)["documents"]
    assert {row["kind"]: row["syncId"] for row in documents} == {
        "decoder-manifest": made["decoderManifest"]["syncId"], "collection-schemes": made["collectionSchemes"]["syncId"]}
    assert platform.client("stranger").get("/v1/signal-documents").json == {"documents": []}


def test_what_is_wrong_with_a_description_is_said(platform, tmp_path):
    file = tmp_path / "signals.json"
    for content, words in (('{"name": "x",}', "line 1, column 14"),
                           ("[]", "must be a JSON object"),
                           ('{"name": "x", "signals": [{"name": "A", "interfaceId": "1"}]}', "In signal 1: exactly one of"),
                           ('{"name": "5yjsa1h12ffp71790", "signals": [{}]}', "looks like a VIN")):
        file.write_text(content)
        done = platform.cli("signals", "load", file, check=False)
        assert done.returncode == 1 and words in done.stderr, (content, done)
    done = platform.cli("signals", "load", tmp_path / "none.json", check=False)
    assert done.returncode == 1 and "No such file" in done.stderr


def test_an_agent_gets_what_it_lacks_and_its_signals_have_names(platform, agent):
    connection = agent.start()
    made = json.loads(load(platform, "--schemes", SCHEMES).stdout)
    agent.check_in(connection)
    manifest, schemes = agent.receive_documents(connection)
    assert manifest.sync_id == made["decoderManifest"]["syncId"]
    assert [scheme.decoder_manifest_sync_id for scheme in schemes.collection_schemes] == [manifest.sync_id] * 2
    speed, moving = manifest.can_signals[0].signal_id, manifest.can_signals[1].signal_id
    track = manifest.custom_decoding_signals[0].signal_id
    now = int(time.time() * 1000)
    plain = fleetwise.data([(0, speed, 52.5), (0, moving, 1.0), (0, track, b"Aerial Boundaries")], at=now,
                           decoder=manifest.sync_id.encode())
    connection.publish_and_wait(agent.topic("signals"), plain)
    eventually("the first values", lambda: latest(platform, agent).get("Vehicle.Speed") == 52.5)
    later = fleetwise.data([(5, speed, 60.25), (5, 12345, 1.0)], at=now, decoder=manifest.sync_id.encode(),
                           dtc_data=fleetwise.dtc(5, b"P0420"))
    connection.publish_and_wait(agent.topic("signals"), snappy.compress(later))
    eventually("the later values", lambda: latest(platform, agent).get("Vehicle.Speed") == 60.25)
    assert latest(platform, agent) == {
        "Vehicle.Speed": 60.25, "Vehicle.IsMoving": True, "Vehicle.OBD.DTCList": ["P0420"],
        "Vehicle.Cabin.Infotainment.Media.Played.Track": "Aerial Boundaries",
        f"FleetWise.{manifest.sync_id}.Signal.12345": 1}


def sync_ids(manifest, schemes):
    return [manifest.sync_id, *(scheme.campaign_sync_id for scheme in schemes.collection_schemes)]


def fetch(agent):
    connection = agent.start()
    agent.check_in(connection)
    return agent.receive_documents(connection)


def test_an_agent_that_has_everything_is_left_alone(platform, new_agent):
    load(platform)
    manifest, schemes = fetch(new_agent())
    assert [scheme.time_based_collection_scheme.time_based_collection_scheme_period_ms
            for scheme in schemes.collection_schemes] == [10000]
    complete = new_agent()
    connection = complete.start()
    complete.check_in(connection, *sync_ids(manifest, schemes))
    # Checkins are answered in order: what that one was to get is there once the next one has its own.
    assert fetch(new_agent()) == (manifest, schemes)
    assert connection.messages.empty()


def test_an_agent_with_an_earlier_loading_gets_what_has_changed(platform, agent, new_agent):
    load(platform)
    manifest, schemes = fetch(new_agent())
    load(platform, "--schemes", SCHEMES)
    connection = agent.start()
    agent.check_in(connection, *sync_ids(manifest, schemes))
    topic, payload = connection.receive()
    assert topic == agent.topic("collection_schemes")
    newer = fleetwise.TYPE["CollectionSchemes"].FromString(payload)
    assert fetch(new_agent()) == (manifest, newer) and newer != schemes
    assert connection.messages.empty()


def test_what_is_no_message_harms_nobody(platform, agent):
    connection = agent.start()
    for payload in (b"", b"\xff" * 100, b"{}", fleetwise.vectors["nan"], b"\xff\xff\xff\xff\x0f" + b"x" * 1000):
        connection.publish_and_wait(agent.topic("signals"), payload)
        connection.publish_and_wait(agent.topic("checkins"), payload)
    connection.publish_and_wait(agent.topic("signals"), fleetwise.data([(0, 1, 1.5)], at=int(time.time() * 1000)))
    eventually("the good one", lambda: latest(platform, agent) == {"FleetWise.demo/car/1.Signal.1": 1.5})


def content(path):
    try:
        return path.read_bytes()
    except OSError:  # a directory, a socket, or gone meanwhile
        return b""


def test_a_vin_that_an_agent_sends_is_kept_nowhere(platform, agent):
    connection = agent.start()
    vin, now = agent.vin.encode(), int(time.time() * 1000)
    # Compressed, the second text refers to the first for its beginning: the VIN then stands nowhere in one piece.
    signals = [(0, 1, b"starts with " + vin[:12]), (0, 2, vin), (0, 3, b"vin=" + vin + b";"), (0, 4, 1.0)]
    payload = fleetwise.data(signals, at=now, dtc_data=fleetwise.dtc(0, b"P0420", vin))
    assert vin not in snappy.compress(payload)
    for form in (payload, snappy.compress(payload)):
        connection.publish_and_wait(agent.topic("signals"), form)
    connection.publish_and_wait(agent.topic("signals"), fleetwise.data([(0, 9, 9.0)], at=now + 1))
    eventually("the last one", lambda: latest(platform, agent).get("FleetWise.demo/car/1.Signal.9") == 9)
    assert agent.vin not in json.dumps(latest(platform, agent))
    assert [path for path in platform.directory.rglob("*") if vin in content(path)] == []
