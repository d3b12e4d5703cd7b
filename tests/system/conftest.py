"""Fixtures of the system tests: real processes, real sockets, nothing mocked."""
import itertools
import json
import pathlib
import random
import subprocess
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import faults  # noqa: E402
from installation import Platform  # noqa: E402

_serial = itertools.count(1)
_TRANSLATION = {**{str(d): d for d in range(10)}, **dict(zip("ABCDEFGH", range(1, 9))),
                **dict(zip("JKLMN", range(1, 6))), "P": 7, "R": 9, **dict(zip("STUVWXYZ", range(2, 10)))}
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)


def make_vin(number=None):
    """A well-formed VIN with a right check digit, another one at each call."""
    number = next(_serial) if number is None else number
    text = f"1VV{random.Random(number).choice('ABCDEFGH')}T5R0{'X'}K{number:07d}"
    text = text[:8] + "0" + text[9:17]
    rest = sum(_TRANSLATION[c] * w for c, w in zip(text, _WEIGHTS)) % 11
    return text[:8] + ("X" if rest == 10 else str(rest)) + text[9:]


def pytest_configure(config):
    config.addinivalue_line("markers", "plain: only without sanitizers (searches memory, or preloads a library)")
    config.addinivalue_line("markers", "both: with sanitizers and without")


@pytest.fixture
def new_vin():
    return make_vin


@pytest.fixture
def new_device():
    return lambda: f"TCU-{next(_serial):06d}"


@pytest.fixture(scope="session")
def platform(tmp_path_factory):
    """One installation for all tests that leave it whole; its rates are high so that tests do not wait."""
    installation = Platform(tmp_path_factory.mktemp("platform") / "data", "--rate-limit", "100000",
                            "--reveals-per-hour", "1000")
    installation.start()
    yield installation
    installation.stop()


@pytest.fixture
def own_platform(tmp_path):
    """An installation of its own, for tests that kill, fill or break it. Started by the test with its options."""
    made = []

    def start(*options, directory=None, **keywords):
        installation = Platform(directory or tmp_path / f"data{len(made)}", *options, **keywords)
        made.append(installation)
        return installation.start()

    yield start
    for installation in made:
        installation.stop()


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The shim that makes faults."""
    return faults.build(tmp_path_factory.mktemp("shim"))


@pytest.fixture
def switch(library, tmp_path):
    return faults.Switch(library, tmp_path / "control")


@pytest.fixture
def small_disk(tmp_path):
    """A file system with room for an installation: its spools' segments are written ahead, 16 MiB each for telemetry and 8
    for orders; and for a start beside the segments of the run before, which their readers free a moment later."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m,mode=0755", "vinveil-test", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def demo_vehicle(platform, new_vin, new_device):
    """A provisioned vehicle: (VIN, device ID, the answer's JSON)."""
    vin, device = new_vin(), new_device()
    answer = platform.provision(vin, device)
    assert answer.status == 201, answer
    return vin, device, json.loads(answer.body)
