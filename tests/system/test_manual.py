"""The manual pages say what the programs say: every command, option and configuration key, and nothing that is gone."""
import re
import shutil
import subprocess

import pytest

from installation import PROGRAMS, ROOT

MAN = ROOT / "doc" / "man"
PAGES = ["vinveil.1", "vinveild.8", "vinveil-keyd.8", "vinveil-ingest.8", "vinveild.conf.5", "keyd.conf.5",
         "ingest.conf.5"]


def help_of(program, *words):
    done = subprocess.run([PROGRAMS / program, *words, "--help"], text=True, capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


def source(page):
    """The page without scdoc's escapes and emphasis."""
    return (MAN / f"{page}.scd").read_text().replace("\\_", "_").replace("\\*", "*")


def commands():
    return [match[1].strip() for match in re.finditer(r"^  (\S.{17}) \S", help_of("vinveil"), re.M)]


def sections():
    """Command → the text of its section in vinveil.1."""
    parts = re.split(r"^## vinveil ", source("vinveil.1"), flags=re.M)[1:]
    found = {}
    for part in parts:
        heading, _, text = part.partition("\n")
        name = " ".join(re.findall(r"^[a-z ]+", heading)[0].split())
        found[name] = (heading, re.split(r"^# ", text, flags=re.M)[0])
    return found


def test_every_command_is_in_the_manual_and_no_other():
    assert len(commands()) > 20
    assert sorted(sections()) == sorted(commands())


def test_every_option_is_in_its_commands_section_and_no_other():
    general = set(re.findall(r"^\*--([a-z-]+)\*", re.split(r"^## ", source("vinveil.1"), flags=re.M)[0], re.M))
    for command, (heading, text) in sections().items():
        own, _, api = help_of("vinveil", *command.split()).partition("\nWhere and as whom:")
        options = dict(re.findall(r"^  --(\S+)( [A-Z]+)?", own, re.M))
        written = dict(re.findall(r"^\*--([a-z0-9-]+)\*( _[A-Z]+_)?", text, re.M))
        assert {name: value.strip() for name, value in options.items()} == \
            {name: value.strip().strip("_") for name, value in written.items()}, command
        assert set(re.findall(r"^  --(\S+)", api, re.M)) <= general, command
        usage = re.match(r"usage: vinveil (.*?)(?: \[options\])?$", own.splitlines()[0])[1]
        assert heading == usage


@pytest.mark.parametrize("page, program, pattern", [
    ("vinveild.conf.5", "vinveild", r"^  ([a-z][a-z0-9_]+)  +\S"),
    ("ingest.conf.5", "vinveil-ingest", r"^  ([a-z][a-z0-9_]+)  +\S"),
    ("keyd.conf.5", "vinveil-keyd", r"^  [a-z]+\.([a-z-]+)(?: \(required\))?$")])
def test_every_configuration_key_is_in_the_manual_and_no_other(page, program, pattern):
    keys = set(re.findall(pattern, help_of(program), re.M))
    assert len(keys) > 5
    assert set(re.findall(r"^\*([a-z][a-z0-9_-]+)\*$", source(page), re.M)) == keys


@pytest.mark.skipif(not (shutil.which("scdoc") and shutil.which("mandoc")), reason="scdoc or mandoc is not here")
@pytest.mark.parametrize("page", PAGES)
def test_pages_are_well_formed(page, tmp_path):
    roff = subprocess.run(["scdoc"], input=(MAN / f"{page}.scd").read_bytes(), capture_output=True, check=True).stdout
    (tmp_path / page).write_bytes(roff)
    lint = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", tmp_path / page], text=True, capture_output=True)
    # scdoc writes a paragraph macro wherever one might be; mandoc says that it skips them.
    assert [line for line in lint.stdout.splitlines() if "skipping paragraph macro" not in line] == []
