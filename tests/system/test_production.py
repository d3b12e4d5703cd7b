"""The way into production: init, two daemons as users of their own, the first client, a tenant, a factory, a vehicle."""
import json
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import time
import urllib.request

import pytest

from installation import PROGRAMS, free_port_base

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be several users")


def vinveil(*arguments, input=None, expect=0):
    done = subprocess.run([PROGRAMS / "vinveil", *map(str, arguments)], input=input, text=True, capture_output=True,
                          timeout=60)
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def hand_over(directory, keyd_user, vinveild_user):
    """What packaging does: the vault is keyd's, the rest vinveild's, and the socket's directory both's."""
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


class Daemons:
    def __init__(self, directory, programs):
        self.directory, self.programs, self.processes = directory, programs, []

    def start(self, user, *arguments):
        log = open(self.directory.parent / f"{user.pw_name}.log", "ab")
        process = subprocess.Popen([self.programs / arguments[0], *arguments[1:]], user=user.pw_uid, group=user.pw_gid,
                                   extra_groups=[], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
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
    for name in ("vinveil", "vinveild", "vinveil-keyd"):
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


def test_from_nothing_to_a_vehicle(place):
    data, roots, port = place / "data", place / "roots", free_port_base()
    vinveil("init", "--data", data, "--root-out", roots, "--name", "localhost", "--name", "127.0.0.1",
            "--listen", "127.0.0.1", "--port", port)
    assert {p.name for p in roots.iterdir()} >= {"device-root.key", "operator-root.key", "server-root.key",
                                                 "platform.pem", "platform.key", "platform.conf"}
    assert not list(data.rglob("*-root.key")), "a root key lies in the data directory"
    keyd_user, vinveild_user = pwd.getpwnam("daemon"), pwd.getpwnam("nobody")
    hand_over(data, keyd_user, vinveild_user)
    config = data / "keyd.conf"
    config.write_text("".join(f"allow = root {vinveild_user.pw_name}\n" if line.startswith("allow") else line
                              for line in config.read_text().splitlines(keepends=True)))
    daemons = Daemons(data, place / "bin")
    try:
        daemons.start(keyd_user, "vinveil-keyd", "--config", data / "keyd.conf")
        daemons.start(vinveild_user, "vinveil", "serve", "--config", data / "vinveild.conf")
        wait_ready(f"http://127.0.0.1:{port + 1}/readyz", daemons)
        profile = ("--profile", roots / "platform.conf")
        vinveil("tenant", "add", "brand", *profile)
        operator = ("--operator-certificate", data / "ca/operator-root.pem", "--operator-key",
                    roots / "operator-root.key", "--out", place / "clients")
        vinveil("client", "add", "factory", "--tenant", "brand", "--scope", "vehicle:provision", "--scope",
                "device:manifest", "--scope", "vehicle:read", *operator, *profile)
        vinveil("client", "add", "crm", "--tenant", "brand", "--scope", "refid:lookup", "--purpose",
                "customer-service", *operator, *profile)
        factory, crm = ("--profile", place / "clients/factory.conf"), ("--profile", place / "clients/crm.conf")
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
        # Root has claims made; vinveild's user may talk to keyd, but not for that.
        vinveil("client", "add", "ops", "--tenant", "brand", "--scope", "admin", *operator, *profile)
        ops = ("--profile", place / "clients/ops.conf", "--count", "2", "--keyd", data / "run/keyd.sock", "--out")
        claim = json.loads(vinveil("claim", "add", "line-1", "--json", *ops, place / "claims").stdout)
        assert (claim["tenantId"], claim["state"], claim["count"]) == ("brand", "active", 2)
        shutil.copytree(place / "clients", place / "stolen")
        for path in (place / "stolen", *(place / "stolen").iterdir()):
            os.chown(path, vinveild_user.pw_uid, vinveild_user.pw_gid)
        (place / "stolen-claims").mkdir()
        os.chown(place / "stolen-claims", vinveild_user.pw_uid, vinveild_user.pw_gid)
        done = subprocess.run([place / "bin/vinveil", "claim", "add", "line-2", *ops, place / "stolen-claims"],
                              user=vinveild_user.pw_uid, group=vinveild_user.pw_gid, extra_groups=[], capture_output=True,
                              text=True)
        assert done.returncode == 4 and "root" in done.stderr, done
        assert list((place / "stolen-claims").iterdir()) == []
        # Neither may read what is the other's.
        for user, path in ((vinveild_user, "keyd/root.key"), (keyd_user, "registry/registry.db"),
                           (keyd_user, "tls/server.key")):
            done = subprocess.run(["cat", data / path], user=user.pw_uid, group=user.pw_gid, extra_groups=[],
                                  capture_output=True)
            assert done.returncode != 0, f"{user.pw_name} reads {path}"
    finally:
        codes = daemons.stop()
    assert codes == [0, 0]


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
