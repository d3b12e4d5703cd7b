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
