"""The way into production: init, four processes as users of their own, the first client, a tenant, a factory, a vehicle
that connects."""
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time
import types
import urllib.request

import pytest

from installation import PROGRAMS, Client, free_port_base
from mqtt import Mqtt, eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")
# Groups that exist on no machine: numbers do.
GATEWAY_GROUP, TELEMETRY_GROUP = 64001, 64002


def vinveil(*arguments, input=None, expect=0, programs=PROGRAMS):
    done = subprocess.run([programs / "vinveil", *map(str, arguments)], input=input, text=True, capture_output=True,
                          timeout=60)
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def hand_over(directory, keyd_user, vinveild_user, broker_user, ingest_user):
    """What packaging does, as vinveil-keyd(8) and vinveil(1) tell it."""
    def own(path, user, group):
        for item in [path, *path.rglob("*")]:
            os.chown(item, user, group)

    own(directory, 0, 0)
    directory.chmod(0o755)
    for name in ("registry", "audit", "tls", "ca"):
        own(directory / name, vinveild_user.pw_uid, vinveild_user.pw_gid)
    own(directory / "keyd", keyd_user.pw_uid, keyd_user.pw_gid)
    os.chown(directory / "run", keyd_user.pw_uid, vinveild_user.pw_gid)
    (directory / "run").chmod(0o2750)

    def share(name, mode, user=0, group=0):
        os.chown(directory / name, user, group)
        (directory / name).chmod(mode)

    share("gateway", 0o750, group=GATEWAY_GROUP)
    for name in ("gateway/mosquitto.conf", "gateway/token"):
        share(name, 0o640, group=GATEWAY_GROUP)
    for name in ("gateway/run", "spool/events"):
        share(name, 0o2770, vinveild_user.pw_uid, GATEWAY_GROUP)
    share("tls", 0o711, vinveild_user.pw_uid, vinveild_user.pw_gid)
    share("tls/broker.key", 0o600, broker_user.pw_uid, broker_user.pw_gid)
    share("spool", 0o755)
    for name in ("spool/telemetry", "spool/control"):
        share(name, 0o2770, group=TELEMETRY_GROUP)
    share("telemetry", 0o2770, ingest_user.pw_uid, TELEMETRY_GROUP)


class Daemons:
    def __init__(self, directory, programs):
        self.directory, self.programs, self.processes = directory, programs, []

    def start(self, user, *arguments, groups=()):
        log = open(self.directory.parent / f"{user.pw_name}.log", "ab")
        process = subprocess.Popen([self.programs / arguments[0], *arguments[1:]], user=user.pw_uid, group=user.pw_gid,
                                   extra_groups=list(groups), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        log.close()
        self.processes.append(process)
        return process

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)
        return [process.returncode for process in self.processes]


@pytest.fixture
def place():
    """A directory that other users can reach (pytest's own they cannot), with the programs in it."""
    base = pathlib.Path(f"/tmp/vinveil-production-{os.getpid()}")
    base.mkdir(mode=0o755)
    (base / "bin").mkdir()
    for name in ("vinveil", "vinveild", "vinveil-keyd", "vinveil-ingest", "mosquitto_vinveil.so"):
        shutil.copy(PROGRAMS / name, base / "bin" / name)
    yield base
    shutil.rmtree(base)


def wait_ready(url, daemons):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        assert all(process.poll() is None for process in daemons.processes), "a daemon ended"
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError("not ready")


class Installation:
    """A production installation under four users, running."""

    def __init__(self, place):
        self.place, self.data, self.roots = place, place / "data", place / "roots"
        self.port = free_port_base()
        ports = ("--port", self.port, "--mqtt-port", self.port + 3, "--mqtt-alpn-port", self.port + 4,
                 "--mqtt-websockets-port", self.port + 5)
        vinveil("init", "--data", self.data, "--root-out", self.roots, "--name", "localhost", "--name", "127.0.0.1",
                "--listen", "127.0.0.1", *ports, programs=place / "bin")
        self.keyd, self.vinveild, self.broker, self.ingest = map(pwd.getpwnam, ("daemon", "nobody", "mosquitto", "backup"))
        hand_over(self.data, self.keyd, self.vinveild, self.broker, self.ingest)
        config = self.data / "keyd.conf"
        config.write_text("".join(f"allow = root {self.vinveild.pw_name}\n" if line.startswith("allow") else line
                                  for line in config.read_text().splitlines(keepends=True)))
        self.daemons = Daemons(self.data, place / "bin")
        self.profile = ("--profile", self.roots / "platform.conf")

    def start(self):
        start, both = self.daemons.start, (GATEWAY_GROUP, TELEMETRY_GROUP)
        start(self.keyd, "vinveil-keyd", "--config", self.data / "keyd.conf")
        start(self.vinveild, "vinveil", "serve", "--config", self.data / "vinveild.conf", groups=both)
        start(self.ingest, "vinveil-ingest", "--config", self.data / "ingest.conf", groups=(TELEMETRY_GROUP,))
        start(self.broker, "/usr/sbin/mosquitto", "-c", self.data / "gateway/mosquitto.conf", groups=both)
        for port in (self.port + 1, self.port + 2):
            wait_ready(f"http://127.0.0.1:{port}/readyz", self.daemons)
        eventually("the broker is served", self.gateway_is_connected)

    def gateway_is_connected(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port + 1}/readyz", timeout=5) as answer:
            return json.load(answer)["checks"]["deviceGateway"] == "ok"

    def client(self, name, *scopes):
        """Makes a client of the tenant brand; the CLI's options to be it."""
        scopes = [word for scope in scopes for word in ("--scope", scope)]
        vinveil("client", "add", name, "--tenant", "brand", *scopes, "--purpose", "customer-service",
                "--operator-certificate", self.data / "ca/operator-root.pem", "--operator-key",
                self.roots / "operator-root.key", "--out", self.place / "clients", *self.profile)
        return "--profile", self.place / f"clients/{name}.conf"

    def vehicle(self, made):
        """A connection of the vehicle of a provisioning's answer."""
        (self.place / "car.pem").write_text(made["credentials"]["certificate"])
        (self.place / "car.key").write_text(made["credentials"]["privateKey"])
        mqtt = {"host": "localhost", "port": made["connection"]["port"], "caCertificate": self.data / "ca/server-root.pem"}
        return Mqtt(types.SimpleNamespace(info={"mqtt": mqtt}), made["referenceId"], self.place / "car.pem",
                    self.place / "car.key")

    def provision_by_claim(self, owner):
        """A telematics unit that fetches its own certificate; with a claim that root has keyd issue."""
        claim = json.loads(vinveil("claim", "add", "batch-1", "--count", "10", "--keyd", self.data / "run/keyd.sock",
                                   "--out", self.place / "claims", "--json", *owner).stdout)
        assert (claim["tenantId"], claim["state"], claim["count"]) == ("brand", "active", 10)
        done = vinveil("simulate", "--vehicles", 1, "--provision", "claim", "--rate", 10, "--seconds", 1, "--endpoint",
                       f"localhost:{self.port + 3}", "--ca", self.data / "ca/server-root.pem", "--claim-certificate",
                       self.place / "claims/batch-1.pem", "--claim-key", self.place / "claims/batch-1.key",
                       "--credentials", self.place / "units", "--json", *owner)
        return json.loads(done.stdout)

    def check_that_root_alone_makes_claims(self):
        """vinveild's user may talk to keyd, but not for that, even with an administrator's key in its hands."""
        for name, source in (("stolen", self.place / "clients"), ("stolen-claims", None)):
            copy = self.place / name
            shutil.copytree(source, copy) if source else copy.mkdir()
            for path in (copy, *copy.iterdir()):
                os.chown(path, self.vinveild.pw_uid, self.vinveild.pw_gid)
        done = subprocess.run(
            [self.place / "bin/vinveil", "claim", "add", "batch-2", "--count", "2", "--keyd", self.data / "run/keyd.sock",
             "--out", self.place / "stolen-claims", "--profile", self.place / "stolen/plant.conf"],
            user=self.vinveild.pw_uid, group=self.vinveild.pw_gid, extra_groups=[], capture_output=True, text=True)
        assert done.returncode == 4 and "root" in done.stderr, done
        assert list((self.place / "stolen-claims").iterdir()) == []

    def latest(self, reference_id):
        """The speed that the client crm sees."""
        api = {"api": f"https://localhost:{self.port}", "caCertificate": self.data / "ca/server-root.pem"}
        client = Client(types.SimpleNamespace(info=api), self.place / "clients/crm.pem", self.place / "clients/crm.key")
        answer = client.get(f"/v1/vehicles/{reference_id}/signals/latest")
        client.close()
        assert answer.status == 200, answer
        return answer.json["signals"].get("Vehicle.Speed", {}).get("value")

    def check_secrets(self):
        """Nobody may read what is another's."""
        for user, path in ((self.vinveild, "keyd/root.key"), (self.keyd, "registry/registry.db"),
                           (self.keyd, "tls/server.key"), (self.broker, "tls/server.key"), (self.broker, "keyd/root.key"),
                           (self.broker, "registry/registry.db"), (self.ingest, "registry/registry.db"),
                           (self.ingest, "gateway/token"), (self.ingest, "tls/broker.key"), (self.keyd, "gateway/token"),
                           (self.vinveild, "tls/broker.key")):
            done = subprocess.run(["cat", self.data / path], user=user.pw_uid, group=user.pw_gid,
                                  extra_groups=[GATEWAY_GROUP] if user in (self.vinveild, self.broker) else [],
                                  capture_output=True)
            assert done.returncode != 0, f"{user.pw_name} reads {path}"


def test_from_nothing_to_a_vehicle(place):
    installation = Installation(place)
    assert {p.name for p in installation.roots.iterdir()} >= {
        "device-root.key", "operator-root.key", "server-root.key", "platform.pem", "platform.key", "platform.conf"}
    assert not list(installation.data.rglob("*-root.key")), "a root key lies in the data directory"
    try:
        installation.start()
        vinveil("tenant", "add", "brand", *installation.profile)
        factory = installation.client("factory", "vehicle:provision", "device:manifest", "vehicle:read")
        crm = installation.client("crm", "refid:lookup", "signal:read")
        manifest = place / "manifest.ndjson"
        manifest.write_text('{"deviceId":"TCU-1"}\n')
        vinveil("devices", "load", manifest, *factory)
        made = json.loads(vinveil("provision", "--device-id", "TCU-1", "--json", *factory,
                                  input="1M8GDM9AXKP042788").stdout)
        found = json.loads(vinveil("lookup", "--purpose", "customer-service", "--json", *crm,
                                   input="1M8GDM9AXKP042788").stdout)
        assert found["referenceId"] == made["referenceId"]
        vinveil("provision", "--device-id", "TCU-9", "--json", *factory, input="5YJSA1H12FFP71790", expect=1)
        assert vinveil("lookup", "--purpose", "marketing", *crm, input="1M8GDM9AXKP042788", expect=4)
        vehicle = installation.vehicle(made)
        vehicle.connect()
        vehicle.send_signals({"Vehicle.Speed": 12.5})
        vehicle.close()
        eventually("its telemetry is stored and read", lambda: installation.latest(made["referenceId"]) == 12.5)
        report = installation.provision_by_claim(installation.client("plant", "device:manifest", "admin"))
        assert report["provisioned"] == report["connected"] == 1 and report["acknowledged"] > 0, report
        installation.check_that_root_alone_makes_claims()
        installation.check_secrets()
    finally:
        codes = installation.daemons.stop()
    assert codes == [0, 0, 0, 0]


def test_root_keys_may_lie_beside_the_data_but_not_in_it(place):
    vinveil("init", "--data", place / "d", "--root-out", place / "d/roots", "--name", "localhost", expect=2)
    assert not (place / "d").exists()
    vinveil("init", "--data", place / "d", "--root-out", place / "d-roots", "--name", "localhost")
    done = vinveil("init", "--data", place / "d", "--root-out", place / "other", "--name", "localhost", expect=1)
    assert "not empty" in done.stderr and not (place / "other").exists()


def test_dev_takes_only_its_own_directory(place):
    (place / "d").mkdir()
    (place / "d/holiday.jpg").write_text("not ours")
    done = vinveil("dev", "--data", place / "d", expect=1)
    assert "neither empty nor made" in done.stderr
    assert [p.name for p in (place / "d").iterdir()] == ["holiday.jpg"]
    vinveil("init", "--data", place / "p", "--root-out", place / "roots", "--name", "localhost")
    vinveil("dev", "--data", place / "p", expect=1)


def test_serve_refuses_what_dev_made(own_platform, tmp_path):
    platform = own_platform()
    platform.stop()
    config = platform.directory / "vinveild.conf"
    text = config.read_text()
    config.write_text(text.replace("dev = on", "dev = off"))
    done = vinveil("serve", "--config", config, expect=1)
    assert "vinveil dev" in done.stderr and "production" in done.stderr
    config.write_text(text.replace("listen = 127.0.0.1", "listen = 0.0.0.0", 1))
    done = vinveil("serve", "--config", config, expect=1)
    assert "loopback" in done.stderr
