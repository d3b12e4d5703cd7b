"""Commands and alerts as applications see them: idempotent, listed, from the command line; what AWS's clients say is taken."""
import json
import sqlite3
import subprocess
import threading
import time
import uuid

import pytest

from conftest import make_vin
from installation import PROGRAMS
from mqtt import Vehicle, eventually


@pytest.fixture
def vehicle(platform, tmp_path):
    device = "CMD-" + uuid.uuid4().hex[:12]
    platform.load_devices(device)
    made = Vehicle(platform, tmp_path, make_vin(), device)
    yield made
    made.close()


def send(platform, vehicle, name="horn", headers=None, **members):
    return platform.client("crm").post(f"/v1/vehicles/{vehicle.id}/commands", {"name": name, **members}, headers=headers or {})


def read(platform, vehicle, command_id):
    return platform.client("crm").get(f"/v1/vehicles/{vehicle.id}/commands/{command_id}").json


def receive_answer(connection):
    """The next message that is no request: a command may come twice when it is made while the vehicle subscribes."""
    while True:
        topic, payload = connection.receive()
        if "/response/" in topic:
            return topic, payload


def hear_all(connection, timeout):
    """What comes until nothing has come for so many seconds."""
    return list(iter(lambda: connection.receive(timeout=timeout), None))


def vinveil(platform, *words, client="crm"):
    return subprocess.run([PROGRAMS / "vinveil", *words, "--data", platform.directory, "--as", client], text=True,
                          capture_output=True, timeout=60)


# ---- over the API -----------------------------------------------------------------------------------------


def test_bad_commands_are_refused(platform, vehicle):
    vin = make_vin()
    for members, status, problem in [
            ({"name": ""}, 422, "value-invalid"), ({"name": "two words"}, 422, "value-invalid"), ({"name": 1}, 400, "malformed"),
            ({"timeoutSeconds": 0}, 422, "value-invalid"), ({"timeoutSeconds": 604801}, 422, "value-invalid"),
            ({"timeoutSeconds": 1.5}, 400, "malformed"), ({"more": 1}, 400, "malformed"), ({"name": vin}, 422, "vin-not-allowed"),
            ({"payload": {"a": [{"b": vin.lower()}]}}, 422, "vin-not-allowed"), ({"payload": {vin: 1}}, 422, "vin-not-allowed"),
            ({"payload": "x" * 8191}, 422, "value-invalid")]:
        answer = send(platform, vehicle, **members)
        assert (answer.status, answer.problem) == (status, problem), (members, answer)
        assert vin not in answer.body.decode()
    listed = platform.client("crm").get(f"/v1/vehicles/{vehicle.id}/commands").json
    assert listed == {"commands": []}


def test_a_suspended_vehicle_gets_none(platform, vehicle):
    answer = platform.client("admin").request("PATCH", f"/v1/vehicles/{vehicle.id}", {"state": "suspended"},
                                              headers={"If-Match": "*"})
    assert answer.status == 200
    assert send(platform, vehicle).problem == "vehicle-not-commandable"


def test_one_key_is_one_command(platform, vehicle):
    connection = vehicle.connect()
    connection.subscribe(vehicle.commands_filter())
    key = {"Idempotency-Key": str(uuid.uuid4())}
    first, again = (send(platform, vehicle, "horn", key, payload={"times": 2}) for _ in range(2))
    assert (first.status, again.status) == (202, 202) and first.body == again.body
    location = f"/v1/vehicles/{vehicle.id}/commands/{first.json['commandId']}"
    assert first.headers["location"] == again.headers["location"] == location
    assert platform.client("crm").get(location).json["name"] == "horn"
    assert send(platform, vehicle, "horn", key, payload={"times": 3}).problem == "idempotency-mismatch"
    heard = [connection.receive(), *hear_all(connection, timeout=0.5)]
    assert {(topic, payload) for topic, payload in heard} == {(heard[0][0], b'{"times":2}')}


def test_commands_are_listed_newest_first(platform, vehicle):
    made = [send(platform, vehicle, f"c{i}").json["commandId"] for i in range(5)]
    path, found, cursor = f"/v1/vehicles/{vehicle.id}/commands?limit=2", [], ""
    while cursor is not None:
        page = platform.client("crm").get(path + (f"&cursor={cursor}" if cursor else "")).json
        assert len(page["commands"]) <= 2
        found += [command["commandId"] for command in page["commands"]]
        cursor = page.get("nextCursor")
    assert found == made[::-1]
    assert platform.client("crm").get(path + "&cursor=1").status == 400


def test_without_a_payload_the_vehicle_gets_the_name(platform, vehicle):
    connection = vehicle.connect()
    connection.subscribe(vehicle.commands_filter())
    for name, payload, expected in [("flash.lights", None, {"name": "flash.lights"}), ("other", [1, 2.5, None, {"deep": True}],
                                                                                        [1, 2.5, None, {"deep": True}])]:
        command_id = send(platform, vehicle, name, **({} if payload is None else {"payload": payload})).json["commandId"]
        while command_id not in (heard := connection.receive())[0]:
            pass
        assert json.loads(heard[1]) == expected


def test_what_a_vehicle_says_wrongly_is_rejected_in_awss_words(platform, vehicle):
    connection = vehicle.connect()
    connection.subscribe(vehicle.commands_filter(), f"$aws/commands/things/{vehicle.id}/executions/+/response/+/json")
    command_id = send(platform, vehicle).json["commandId"]
    topic, _ = connection.receive()
    response, vin = topic.replace("/request/", "/response/"), make_vin()
    for payload, error in [("{", "InvalidJson"), ("[]", "InvalidRequest"), ({"status": "DONE"}, "InvalidRequest"),
                           ({"status": "SUCCEEDED", "result": vin}, "InvalidRequest")]:
        connection.publish_and_wait(response, payload)
        heard, said = receive_answer(connection)
        said = json.loads(said)
        assert heard == response.replace("/response/json", "/response/rejected/json")
        assert said["error"] == error and said["executionId"] == command_id and vin not in json.dumps(said)
    assert read(platform, vehicle, command_id)["status"] == "CREATED"
    # AWS's clients repeat the topic's parts in the payload.
    connection.publish_and_wait(response, {"deviceType": "things", "deviceId": vehicle.id, "executionId": command_id,
                                           "status": "SUCCEEDED", "result": {"vin": vin}})
    assert json.loads(receive_answer(connection)[1]) == {"executionId": command_id}
    # What looks like a VIN was made unreadable by the broker already.
    assert read(platform, vehicle, command_id)["result"] == {"vin": "X" * 17}


def commit_unsent(platform, vehicle):
    """A command as a daemon leaves it that dies between its commit and its delivery."""
    command_id, now = uuid.uuid4(), int(time.time() * 1000)
    with sqlite3.connect(platform.directory / "registry" / "registry.db", timeout=10) as registry:
        registry.execute("INSERT INTO command (id, vehicle, name, payload, status, is_final, created_by, created_at, updated_at,"
                         " expires_at, version) SELECT ?, number, 'horn', '{\"times\":1}', 1, 0, 1, ?, ?, ?, 1 FROM vehicle"
                         " WHERE reference_id = ?", (command_id.bytes, now, now, now + 300_000, uuid.UUID(vehicle.id).bytes))
    return str(command_id)


def finish_one(platform, vehicle, connection):
    """The daemon has handled everything that the vehicle did until now: one vehicle's events are handled in their order."""
    command_id = send(platform, vehicle).json["commandId"]
    vehicle.answer_command(connection, connection.receive()[0], "SUCCEEDED")
    eventually("it is done", lambda: read(platform, vehicle, command_id)["status"] == "SUCCEEDED")


def test_what_a_daemon_left_unsent_the_next_one_sends(own_platform, tmp_path):
    """The vehicle stays connected all the while, so nothing else makes anybody send it."""
    platform = own_platform()
    platform.load_devices("CMD-CRASH")
    vehicle = Vehicle(platform, tmp_path, make_vin(), "CMD-CRASH")
    connection = vehicle.connect()
    connection.subscribe(vehicle.commands_filter())
    finish_one(platform, vehicle, connection)
    command_id = commit_unsent(platform, vehicle)
    assert all(command_id not in topic for topic, _ in hear_all(connection, timeout=1.5))
    old = platform.kill("vinveild")
    topic, payload = connection.receive(timeout=30)
    assert command_id in topic and json.loads(payload) == {"times": 1} and not connection.closed.is_set()
    platform.wait_restarted("vinveild", old)
    vehicle.answer_command(connection, topic, "SUCCEEDED")
    client, path = platform.new_client("crm"), f"/v1/vehicles/{vehicle.id}/commands/{command_id}"
    eventually("it is done", lambda: client.get(path).json["status"] == "SUCCEEDED")
    client.close()
    vehicle.close()


# ---- alerts -----------------------------------------------------------------------------------------------


def test_a_cloned_key_raises_an_alert(platform, vehicle):
    vehicle.connect()
    mqtt = platform.info["mqtt"]
    clone = ["mosquitto_pub", "-h", mqtt["host"], "-p", str(mqtt["port"]), "--cafile", mqtt["caCertificate"], "--cert",
             vehicle.certificate, "--key", vehicle.key, "-i", vehicle.id, "-A", "127.0.0.9", "-q", "1", "-t",
             f"vehicles/{vehicle.id}/signals", "-m", "{}"]
    for _ in range(2):
        subprocess.run(clone, timeout=20, capture_output=True, check=True)
        vehicle.connect()
    auditor = platform.client("auditor")

    def found():
        alerts = auditor.get("/v1/alerts?kind=cloned-key&limit=1000").json["alerts"]
        return [alert for alert in alerts if alert["referenceId"] == vehicle.id]
    alert, = eventually("an alert is raised", found)
    assert "127.0.0.9" in alert["detail"]
    entries = auditor.get(f"/v1/audit/entries?action=alert.raise&referenceId={vehicle.id}").json["entries"]
    assert [entry["subject"] for entry in entries] == ["cloned-key"]
    assert all(other["referenceId"] != vehicle.id for other in platform.client("stranger").get("/v1/alerts").json["alerts"])
    listed = vinveil(platform, "alert", "list", "--kind", "cloned-key", client="auditor")
    assert listed.returncode == 0 and vehicle.id in listed.stdout


# ---- the command line -------------------------------------------------------------------------------------


def answering(vehicle, status, **members):
    """Answers the next command, on a thread of its own."""
    connection = vehicle.connect()
    connection.subscribe(vehicle.commands_filter())

    def answer():
        topic, _ = connection.receive()
        vehicle.answer_command(connection, topic, "IN_PROGRESS")
        vehicle.answer_command(connection, topic, status, **members)
    thread = threading.Thread(target=answer)
    thread.start()
    return thread


def test_a_command_is_sent_and_waited_for(platform, vehicle):
    thread = answering(vehicle, "SUCCEEDED", result={"text": {"s": "\u001b[31m\u00e4"}})
    done = vinveil(platform, "command", "send", vehicle.id, "horn", "--payload", '{"times": 1}', "--wait")
    thread.join()
    assert done.returncode == 0, done.stderr
    assert "SUCCEEDED" in done.stdout and "\x1b" not in done.stdout and done.stdout.isascii()
    command_id = next(line.split()[-1] for line in done.stdout.splitlines() if line.startswith("command ID"))
    shown = vinveil(platform, "command", "show", vehicle.id, command_id, "--json")
    assert json.loads(shown.stdout)["status"] == "SUCCEEDED"


def test_a_command_that_fails_is_told_by_the_exit_code(platform, vehicle):
    thread = answering(vehicle, "FAILED", statusReason={"reasonCode": "JAMMED", "reasonDescription": "It is stuck."})
    done = vinveil(platform, "command", "send", vehicle.id, "horn", "--wait")
    thread.join()
    assert done.returncode == 1 and "FAILED" in done.stderr and "JAMMED" in done.stdout


def test_bad_command_lines(platform, vehicle):
    assert vinveil(platform, "command", "send", vehicle.id).returncode == 2
    assert vinveil(platform, "command", "send", vehicle.id, "horn", "--timeout", "0").returncode == 2
    bad = vinveil(platform, "command", "send", vehicle.id, "horn", "--payload", "{")
    assert bad.returncode == 2 and "--payload" in bad.stderr
    unknown = vinveil(platform, "command", "show", str(uuid.uuid4()), str(uuid.uuid4()))
    assert unknown.returncode == 1 and "Not found" in unknown.stderr
