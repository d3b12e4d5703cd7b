"""What an operator reads when something is wrong, at three in the morning: exit code and message of the daemons and of the
command line."""
import json
import re
import subprocess
import time

import pytest

from installation import PROGRAMS

WRONG = 2  # command line or configuration
DAEMONS = {"vinveil-keyd": "keyd.conf", "vinveild": "vinveild.conf", "vinveil-ingest": "ingest.conf"}


def run(program, *arguments, input="", expect=0):
    done = subprocess.run([PROGRAMS / program, *map(str, arguments)], input=input, text=True, capture_output=True, timeout=60)
    assert done.returncode == expect, f"{program} {arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


# Of mosquitto, at each start: of root in a directory that is root's alone; of vinveild's socket, as its configuration says.
USUAL = re.compile(r"\S+: Warning: (Mosquitto should not be run as root/administrator|Unable to set TCP_NODELAY)\.")


def alarming(log):
    """The lines of a log that would make somebody ask what is wrong."""
    return [line for line in log.splitlines() if not USUAL.fullmatch(line)
            and not (line.startswith("{") and json.loads(line)["level"] == "info")]


@pytest.mark.plain  # a sanitizer takes from keyd what it then warns of
def test_a_start_that_is_well_alarms_nobody(own_platform):
    begin = time.monotonic()
    platform = own_platform()
    assert alarming(platform.log_path.read_text()) == [] or time.monotonic() - begin > 3
    platform.stop()
    platform.log_path.unlink()
    begin = time.monotonic()
    platform.start()
    assert alarming(platform.log_path.read_text()) == [] or time.monotonic() - begin > 3
    assert "whenever vinveild connects" in (platform.directory / "gateway/mosquitto.conf").read_text()


@pytest.fixture
def config(platform, tmp_path):
    """Copies a configuration of the running installation, changed: a daemon that took it would fail at what is in use."""
    def write(name, *changes):
        text = (platform.directory / name).read_text()
        for before, after in changes:
            assert before in text
            text = text.replace(before, after, 1)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


@pytest.mark.parametrize("program, before, after, told", [
    ("vinveil-keyd", "[budget]", "[budgets]", "[budgets]: no such section"),
    ("vinveil-keyd", "allow = \n", "allow = root nobody-at-all\n", "allow: there is no user nobody-at-all"),
    ("vinveil-keyd", "device-days = 90", "device-days = 0", "device-days: must be a whole number from 1 to 3650"),
    ("vinveild", "\nport =", "\nprot =", "prot: no such key in section [server]"),
    ("vinveild", "\ntoken = ", "\n; token = ", "[gateway] token"),
    ("vinveild", "\ntoken = ", "\nbroker_user = nobody-at-all\ntoken = ", "broker_user: there is no user nobody-at-all"),
    ("vinveild", "\nlisten = 127.0.0.1", "\nlisten = everywhere", "[server] listen: must be a numeric address"),
    ("vinveil-ingest", "operations_listen = 127.0.0.1", "operations_listen = ", "must be a numeric address"),
    ("vinveild", "dev = on", "dev = yes", "dev: must be on or off"),
    ("vinveild", "dev = on", "dev = off", "made by `vinveil dev`"),
    ("vinveil-ingest", "control = ", "; control = ", "control: is missing in section [spool]"),
])
def test_a_wrong_configuration_is_told_alike_by_all_daemons(config, program, before, after, told):
    path = config(DAEMONS[program], (before, after))
    for check in ([], ["--check-config"]):
        done = run(program, "--config", path, *check, expect=WRONG)
        assert done.stdout == "" and done.stderr.count("\n") == 1, done
        assert done.stderr.startswith(f"{program}: ") and told in done.stderr


@pytest.mark.parametrize("program", DAEMONS)
def test_a_configuration_that_is_not_there_is_told_alike_by_all_daemons(program, tmp_path):
    assert f"{tmp_path}/none.conf" in run(program, "--config", tmp_path / "none.conf", expect=WRONG).stderr
    assert str(tmp_path) in run(program, "--config", tmp_path, "--check-config", expect=WRONG).stderr


@pytest.mark.parametrize("program", DAEMONS)
def test_a_wrong_command_line_is_told_alike_by_all_daemons(program, config):
    path = config(DAEMONS[program])
    assert run(program, "--config", path, "--check-config").stdout == f"{path}: good\n"
    for arguments, named in ((["--verbose"], "--verbose"), (["--config"], "--config"), (["--config", path, "more"], "more")):
        assert f"unknown or incomplete option {named}\nusage: {program} " in run(program, *arguments, expect=WRONG).stderr
    assert "say --config FILE" in run(program, expect=WRONG).stderr


# ---- the command line -------------------------------------------------------------------------------------------------

ID = "0b36896d-06a7-423a-8444-2f5a956096f3"
VIN = "1M8GDM9AXKP042788"


def vinveil(platform, *words, client="admin", **keywords):
    return run("vinveil", *words, "--data", platform.directory, "--as", client, **keywords)


def test_help_may_stand_before_the_command():
    for words in (["lookup"], ["tcu", "change"], ["client"]):
        assert run("vinveil", "help", *words).stdout == run("vinveil", *words, "--help").stdout
    assert "there is no command 'nonsense'" in run("vinveil", "help", "nonsense", expect=WRONG).stderr


@pytest.mark.parametrize("words, told", [
    (["dev", "--data", ""], "--data needs a value: --data DIR"),
    (["dev", "--data="], "--data needs a value: --data DIR"),
    (["vehicle", "list", "--as", "crm"], "say --data DIR, too"),
    (["vehicle", "list", "--data", "d", "--profile", "p"], "not both"),
    (["tcu", "delete", "--device-id", "T", "--reference-id", ID, "--vin-file", "f", "--data", "d"], "not both"),
    (["command", "send", ID, "lock", "--payload", "{", "--data", "d"], "--payload: line 1, column 1"),
    (["provision", "--device-id", "T", "--attributes", "{x", "--json", "--data", "d"], "--attributes: line 1, column 2"),
])
def test_a_command_line_that_is_wrong_is_2(words, told, tmp_path):
    done = subprocess.run([PROGRAMS / "vinveil", *words], input=VIN + "\n", text=True, capture_output=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (WRONG, "") and told in done.stderr, done
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["vehicle", "show"], ["vehicle", "history"], ["vehicle", "signals"], ["reveal", "request"]])
def test_a_vin_in_the_place_of_a_reference_id_goes_nowhere(platform, words):
    told = vinveil(platform, *words, VIN, expect=WRONG).stderr
    assert "REFERENCE-ID must be a UUID; vinveil lookup finds it by the VIN" in told and VIN not in told


def test_other_ids_are_judged_too(platform):
    assert "COMMAND-ID must be a UUID\n" in vinveil(platform, "command", "show", ID, "7", expect=WRONG).stderr
    assert "REVEAL-REQUEST-ID must be a UUID\n" in vinveil(platform, "reveal", "open", "7", expect=WRONG).stderr


def test_a_client_that_is_not_there_is_told_with_those_that_are(platform):
    told = vinveil(platform, "vehicle", "list", client="clerk", expect=1).stderr
    assert "no client 'clerk'" in told and "admin, factory, crm" in told


def test_what_cannot_be_read_is_said(platform, tmp_path):
    purpose = ("--purpose", "customer-service")
    assert "Is a directory" in vinveil(platform, "lookup", *purpose, "--vin-file", tmp_path, expect=1).stderr
    assert "nothing was read: expected one line with a VIN" in vinveil(platform, "lookup", *purpose, expect=WRONG).stderr
    assert f"{tmp_path}: Is a directory" in vinveil(platform, "devices", "load", tmp_path, expect=1).stderr


def test_a_platform_that_is_not_there_is_asked_for(platform, tmp_path):
    profile = tmp_path / "cli.conf"
    paths = platform.info["clients"]["crm"]
    profile.write_text(f"[api]\nurl = https://127.0.0.1:9\nca = {platform.info['caCertificate']}\n"
                       f"certificate = {paths['certificate']}\nkey = {paths['key']}\n")
    told = run("vinveil", "vehicle", "list", "--profile", profile, expect=3).stderr
    assert "https://127.0.0.1:9: " in told and "is vinveild running there?" in told


def test_one_is_not_many(platform, tmp_path):
    done = vinveil(platform, "simulate", "--vehicles", 1, "--seconds", 1, "--credentials", tmp_path)
    assert "provisioning 1 vehicle through" in done.stderr and "1 vehicle is connected" in done.stderr


def test_a_file_that_is_no_key_is_not_a_matter_of_time(tmp_path):
    for text, told in (("x" * 2000, "is no audit log's public key"), ("junk", "key")):
        (tmp_path / "key").write_text(text)
        done = run("vinveil", "audit", "verify", "--log", tmp_path, "--key", tmp_path / "key", expect=1)
        assert told in done.stderr and str(tmp_path / "key") in done.stderr, done
