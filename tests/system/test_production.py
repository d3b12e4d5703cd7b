"""The way into production: init, four processes as users of their own, the first client, a tenant, a factory, a vehicle
that connects."""
import grp
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
import types
import urllib.request

import pytest

from installation import BUILD, PROGRAMS, ROOT, Client, free_port_base
from mqtt import Mqtt, eventually

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")
NOT_AUTHORISED = 0x87
IMPORTED = "5YJSA1H12FFP71790"
MANUAL = (ROOT / "doc/man/vinveil.1.scd").read_text().split("# USERS AND GROUPS")[1].split("\n# ")[0]
# The test makes no users: Debian's stand for those of the manual. Each has a group of its name.
STAND_INS = {"vinveil-keyd": "daemon", "vinveil": "proxy", "vinveil-ingest": "backup", "mosquitto": "mosquitto",
             "vinveil-gateway": "lp", "vinveil-spool": "news", "vinveil-telemetry": "games"}


def vinveil(*arguments, input=None, expect=0, programs=PROGRAMS):
    done = subprocess.run([programs / "vinveil", *map(str, arguments)], input=input, text=True, capture_output=True,
                          timeout=60)
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def manual_lines(which, directory):
    """One of the blocks to paste, with the stand-ins in it."""
    block = MANUAL.split("```")[1::2][which].strip().replace("/var/lib/vinveil", str(directory))
    return re.sub(r"(?<![\w/.-])(vinveil(?:-\w+)?)(?![\w.-])", lambda found: STAND_INS[found[1]], block)


class User:
    """One of the four, and what the manual puts it in."""

    def __init__(self, name):
        entry = pwd.getpwnam(STAND_INS[name])
        self.name, self.uid, self.gid = entry.pw_name, entry.pw_uid, entry.pw_gid
        groups = re.search(rf"--groups (\S+) {self.name}$", manual_lines(0, ""), re.M)
        self.groups = [grp.getgrnam(group).gr_gid for group in groups[1].split(",")] if groups else []

    def rights(self, paths):
        """For each path whether the kernel lets this user read it, and write it."""
        code = ("import json, os, sys; print(json.dumps([[os.access(path, mode) for mode in (os.R_OK, os.W_OK)]"
                " for path in json.load(sys.stdin)]))")
        done = subprocess.run([sys.executable, "-c", code], input=json.dumps(list(map(str, paths))), text=True, check=True,
                              user=self.uid, group=self.gid, extra_groups=self.groups, capture_output=True)
        return json.loads(done.stdout)


def hand_over(directory):
    done = subprocess.run(["sh"], input=manual_lines(1, directory), text=True, capture_output=True, cwd="/")
    assert done.returncode == 0 and done.stderr == "", done.stderr


class Daemons:
    def __init__(self, directory, programs):
        self.directory, self.programs, self.processes = directory, programs, []

    def start(self, user, *arguments):
        log = open(self.directory.parent / f"{user.name}.log", "ab")
        process = subprocess.Popen([self.programs / arguments[0], *arguments[1:]], user=user.uid, group=user.gid,
                                   extra_groups=user.groups, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
        log.close()
        self.processes.append(process)
        return process

    def logs(self):
        return "\n".join(path.read_text()[-2000:] for path in self.directory.parent.glob("*.log"))

    def stop(self):
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.wait(30)
        codes = [process.returncode for process in self.processes]
        self.processes.clear()
        return codes


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
        assert all(process.poll() is None for process in daemons.processes), daemons.logs()
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise AssertionError(daemons.logs())


class Installation:
    """A production installation under four users, running."""

    def __init__(self, place):
        self.place, self.data, self.roots = place, place / "data", place / "roots"
        self.port = free_port_base()
        ports = ("--port", self.port, "--mqtt-port", self.port + 3, "--mqtt-alpn-port", self.port + 4,
                 "--mqtt-websockets-port", self.port + 5)
        vinveil("init", "--data", self.data, "--root-out", self.roots, "--name", "localhost", "--name", "127.0.0.1",
                "--listen", "127.0.0.1", *ports, programs=place / "bin")
        self.keyd, self.vinveild, self.broker, self.ingest = map(
            User, ("vinveil-keyd", "vinveil", "mosquitto", "vinveil-ingest"))
        hand_over(self.data)
        self.daemons = Daemons(self.data, place / "bin")
        self.profile = ("--profile", self.roots / "platform.conf")

    def start(self):
        start = self.daemons.start
        start(self.keyd, "vinveil-keyd", "--config", self.data / "keyd.conf")
        start(self.vinveild, "vinveil", "serve", "--config", self.data / "vinveild.conf")
        start(self.ingest, "vinveil-ingest", "--config", self.data / "ingest.conf")
        start(self.broker, "/usr/sbin/mosquitto", "-c", self.data / "gateway/mosquitto.conf")
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
                os.chown(path, self.vinveild.uid, self.vinveild.gid)
        done = subprocess.run(
            [self.place / "bin/vinveil", "claim", "add", "batch-2", "--count", "2", "--keyd", self.data / "run/keyd.sock",
             "--out", self.place / "stolen-claims", "--profile", self.place / "stolen/plant.conf"],
            user=self.vinveild.uid, group=self.vinveild.gid, extra_groups=self.vinveild.groups, capture_output=True, text=True)
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

    def back_up(self):
        """As root, beside the running daemons, and it leaves nothing that is root's."""
        (self.place / "passphrase").write_text("correct horse battery staple\n")
        vinveil("backup", "--data", self.data, "--out", self.place / "backup")
        vinveil("keys", "export", "--data", self.data, "--out", self.place / "keys", "--passphrase-file",
                self.place / "passphrase")
        self.check_rights()

    def restore_and_import(self, vin):
        """As root, with the daemons stopped, on what belongs to their users."""
        old = self.place / "old"
        old.mkdir()
        for path in (self.data / "registry").glob("registry.db*"):
            path.rename(old / path.name)
        vinveil("restore", "--data", self.data, "--from", self.place / "backup")
        (self.place / "fleet.csv").write_text(f"vin,deviceId\n{vin},TCU-100\n")
        vinveil("import", self.place / "fleet.csv", "--data", self.data, "--tenant", "brand")

    def check_rights(self):
        """Of every directory and file but locks and segments: who reads and who writes it, beside root."""
        who = {"keyd": self.keyd, "vinveild": self.vinveild, "broker": self.broker, "ingest": self.ingest}
        paths = sorted(path for path in [self.data, *self.data.rglob("*")]
                       if path.suffix not in (".lock", ".spool") and path.name not in ("lock", "next"))
        rights = {key: user.rights(paths) for key, user in who.items()}
        for i, path in enumerate(paths):
            if not path.exists():
                continue  # a file that was written beside its place has gone to it
            name = str(path.relative_to(self.data))
            expected = next(rights for pattern, rights in RIGHTS if re.fullmatch(pattern, name))
            for j, verb in enumerate(("read", "write")):
                found = {key for key in who if rights[key][i][j]}
                assert expected[j] is None or found == set(expected[j].split()), f"{name}: {found} may {verb} it"

    def check_sockets(self):
        """Who gets an answer at the claims' socket and at keyd's."""
        code = ("import socket, sys; s = socket.socket(socket.AF_UNIX); s.settimeout(0.3); s.connect(sys.argv[1])\n"
                "try: sys.exit(s.recv(1) == b'')\nexcept TimeoutError: pass")
        root = types.SimpleNamespace(uid=0, gid=0, groups=[])
        for path, allowed in (("gateway/run/gateway.sock", [self.broker]), ("run/keyd.sock", [self.vinveild, root])):
            for user in (self.keyd, self.vinveild, self.broker, self.ingest, root):
                done = subprocess.run([sys.executable, "-c", code, self.data / path], user=user.uid, group=user.gid,
                                      extra_groups=user.groups, capture_output=True)
                assert (done.returncode == 0) == (user in allowed), f"{path} of {user.uid}: {done}"


ALL = "keyd vinveild broker ingest"
RIGHTS = (  # the first that matches: readers, writers
    (r"keyd(/.*)?", ("keyd", "keyd")),
    (r"(registry|audit)(/.*)?", ("vinveild", "vinveild")),
    (r"tls/server.key", ("vinveild", "vinveild")),
    (r"tls/broker.key", ("broker", "broker")),
    (r"run", ("keyd vinveild", "keyd")),
    (r"run/keyd.sock", ("keyd vinveild", "keyd vinveild")),
    (r"gateway/run/.*", ("vinveild broker", "vinveild broker")),
    (r"gateway/run", ("vinveild broker", "vinveild broker")),
    (r"gateway(/.*)?", ("vinveild broker", "")),
    (r"spool/events(/.*)?", ("vinveild broker", "vinveild broker")),
    (r"spool/telemetry(/.*)?", ("broker ingest", "broker ingest")),
    (r"spool/control(/.*)?", ("vinveild ingest", "vinveild ingest")),
    (r"telemetry/decoders(/.*)?", (None, "ingest")),
    (r"telemetry(/.*)?", ("vinveild ingest", "ingest")),
    (r".|ca(/.*)?|tls(/.*.pem)?|spool|[a-z]+\.conf", (ALL, "")),
)


def test_from_nothing_to_a_vehicle(place):
    installation = Installation(place)
    assert {p.name for p in installation.roots.iterdir()} >= {
        "device-root.key", "operator-root.key", "server-root.key", "platform.pem", "platform.key", "platform.conf"}
    assert not list(installation.data.rglob("*-root.key")), "a root key lies in the data directory"
    try:
        installation.start()
        vinveil("tenant", "add", "brand", *installation.profile)
        factory = installation.client("factory", "vehicle:provision", "device:manifest", "vehicle:read")
        garage = installation.client("garage", "tcu:change")
        crm = installation.client("crm", "refid:lookup", "signal:read")
        manifest = place / "manifest.ndjson"
        manifest.write_text('{"deviceId":"TCU-1"}\n{"deviceId":"TCU-2"}\n')
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
        eventually("its telemetry is stored and read", lambda: installation.latest(made["referenceId"]) == 12.5)
        vinveil("tcu", "change", "--device-id", "TCU-1", "--new-device-id", "TCU-2", "--reference-id", made["referenceId"],
                *garage)
        assert vehicle.wait_closed(), "the old unit is still connected"
        vehicle.close()
        cut = installation.vehicle(made)
        cut.connect(expect=NOT_AUTHORISED)
        cut.close()
        report = installation.provision_by_claim(installation.client("plant", "device:manifest", "admin"))
        assert report["provisioned"] == report["connected"] == 1 and report["acknowledged"] > 0, report
        installation.check_that_root_alone_makes_claims()
        installation.check_rights()
        installation.check_sockets()
        installation.back_up()
        assert installation.daemons.stop() == [0, 0, 0, 0]
        installation.restore_and_import(IMPORTED)
        hand_over(installation.data)
        installation.start()
        installation.check_rights()
        assert installation.latest(made["referenceId"]) == 12.5
        vinveil("lookup", "--purpose", "customer-service", *crm, input=IMPORTED)
    finally:
        codes = installation.daemons.stop()
    assert codes == [0, 0, 0, 0]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """What the build installs, in a directory that stands for /; and the options that say where."""
    root = tmp_path_factory.mktemp("installed")
    done = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root], text=True, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
    options = subprocess.run(["meson", "introspect", "--buildoptions", BUILD], text=True, capture_output=True, check=True)
    return root, {option["name"]: option["value"] for option in json.loads(options.stdout)}


def test_what_is_installed_and_where(installed):
    """Programs, plugin, man pages and units, all where a system looks for them; and nothing else."""
    root, options = installed
    prefix = root / options["prefix"].lstrip("/")
    names = ("vinveil-keyd.service", "vinveild.service", "vinveil-ingest.service", "mosquitto.service.d/vinveil.conf")
    expected = {prefix / options["bindir"] / name for name in ("vinveil", "vinveild", "vinveil-keyd", "vinveil-ingest")}
    expected |= {prefix / options["libdir"] / "vinveil/mosquitto_vinveil.so"}
    expected |= {prefix / "lib/systemd/system" / name for name in names}
    if shutil.which("scdoc"):
        pages = [path.name.removesuffix(".scd") for path in (ROOT / "doc/man").iterdir()]
        expected |= {prefix / options["mandir"] / f"man{name[-1]}" / name for name in pages}
    found = {path for path in root.rglob("*") if not path.is_dir()}
    assert found == expected
    for path in found:
        assert path.stat().st_mode & 0o7777 == (0o755 if path.parent.name in ("bin", "vinveil") else 0o644), path


def test_units_are_well_formed_and_open_what_the_user_may_write(installed):
    """systemd itself reads them; what it leaves writable is what the table above gives that user."""
    root, options = installed
    units = root / options["prefix"].lstrip("/") / "lib/systemd/system"
    programs = pathlib.Path(options["prefix"], options["bindir"])
    directories = ("keyd", "registry", "audit", "tls", "ca", "run", "gateway", "gateway/run", "spool", "spool/events",
                   "spool/telemetry", "spool/control", "telemetry")
    for who, name, program in (("keyd", "vinveil-keyd.service", programs / "vinveil-keyd"),
                               ("vinveild", "vinveild.service", programs / "vinveild"),
                               ("ingest", "vinveil-ingest.service", programs / "vinveil-ingest"),
                               ("broker", "mosquitto.service.d/vinveil.conf", pathlib.Path("/usr/sbin/mosquitto"))):
        text = (units / name).read_text()
        open_paths = re.search(r"^ReadWritePaths=(.*)$", text, re.M)[1].replace("/var/lib/vinveil/", "").split()
        assert set(open_paths) == {path for path in directories if who in next(
            rights for pattern, rights in RIGHTS if re.fullmatch(pattern, path))[1].split()}, name
        command = re.search(r"^ExecStart=(/\S+) --?c\S* (\S+)$", text, re.M)
        assert command[1] == str(program) and f"AssertPathExists={command[2]}\n" in text, name
    if shutil.which("systemd-analyze"):
        verify_units(units, root, programs)


def verify_units(units, root, programs):
    """systemd looks whether the programs are there: where they stand in for the installed ones."""
    copies = root / "units"
    shutil.copytree(units, copies)
    shutil.copy("/lib/systemd/system/mosquitto.service", copies)
    for unit in copies.glob("vinveil*.service"):
        unit.write_text(unit.read_text().replace(f"={programs}/", f"={root}{programs}/"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *copies.glob("*.service")], text=True, capture_output=True)
    shutil.rmtree(copies)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_root_keys_may_lie_beside_the_data_but_not_in_it(place):
    vinveil("init", "--data", place / "d", "--root-out", place / "d/roots", "--name", "localhost", expect=2)
    assert not (place / "d").exists()
    vinveil("init", "--data", place / "d", "--root-out", place / "d-roots", "--name", "localhost")
    done = vinveil("init", "--data", place / "d", "--root-out", place / "other", "--name", "localhost", expect=1)
    assert "not empty" in done.stderr and not (place / "other").exists()


@pytest.mark.parametrize("options, code, told", [
    (["--name", "two words"], 2, "--name: a server's name must be a DNS name"),
    (["--name", "a", "--name", "b_c"], 2, "--name: a server's alternative name"),
    (["--name", "a", "--listen", "everywhere"], 2, "--listen takes a numeric address"),
    (["--name", "a", "--port", "8883"], 2, "port 8883 is wanted twice"),
    (["--name", "a", "--mqtt-port", "8445"], 2, "port 8445 is wanted twice"),
    (["--name", "a", "--root-out", "/dev/null"], 1, "cannot make /dev/null"),
])
def test_init_makes_nothing_of_what_is_wrong(place, options, code, told):
    """Least of all half of it: the second try would find that the directory is not empty."""
    roots = [] if "--root-out" in options else ["--root-out", place / "roots"]
    assert told in vinveil("init", "--data", place / "d", *roots, *options, expect=code).stderr
    assert [path.name for path in place.iterdir()] == ["bin"]


def test_dev_takes_only_its_own_directory(place):
    (place / "d").mkdir()
    (place / "d/holiday.jpg").write_text("not ours")
    done = vinveil("dev", "--data", place / "d", "--port-base", free_port_base(), expect=1)
    assert "neither empty nor made" in done.stderr
    assert [p.name for p in (place / "d").iterdir()] == ["holiday.jpg"]
    vinveil("init", "--data", place / "p", "--root-out", place / "roots", "--name", "localhost")
    done = vinveil("dev", "--data", place / "p", "--port-base", free_port_base(), expect=1)
    assert "neither empty nor made" in done.stderr


def test_serve_refuses_what_dev_made(own_platform, tmp_path):
    platform = own_platform()
    platform.stop()
    config = platform.directory / "vinveild.conf"
    text = config.read_text()
    config.write_text(text.replace("dev = on", "dev = off"))
    done = vinveil("serve", "--config", config, expect=2)
    assert "vinveil dev" in done.stderr and "production" in done.stderr
    config.write_text(text.replace("listen = 127.0.0.1", "listen = 0.0.0.0", 1))
    done = vinveil("serve", "--config", config, expect=2)
    assert "loopback" in done.stderr
