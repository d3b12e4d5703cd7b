"""A disk whose power can be cut: a file system in an image. What nobody has synced is in the kernel's memory and not in the
image, so a copy of the image, once every process is dead, is what a power cut leaves.
"""
import os
import pathlib
import signal
import subprocess
import time

import pytest

from installation import freeze

SIZE_MIB = 512
# The journal is committed by those who sync, and by nobody else meanwhile.
OPTIONS = "loop,commit=600"


def run(*command):
    done = subprocess.run(list(map(str, command)), text=True, capture_output=True)
    assert done.returncode == 0, (command, done.stderr)


class Disk:
    def __init__(self, directory):
        self.image, self.path = pathlib.Path(directory, "disk.image"), pathlib.Path(directory, "disk")
        self.path.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(SIZE_MIB << 20)
        run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0", self.image)
        self.mount()

    def mount(self):
        done = subprocess.run(["mount", "-o", OPTIONS, self.image, self.path], text=True, capture_output=True)
        if done.returncode != 0:
            pytest.skip(f"an image cannot be mounted here: {done.stderr.strip()}")

    def cut(self, platform):
        """Ends every process of the platform in an instant; the disk is then as the cut has left it."""
        end_everything(platform)
        left = self.image.with_suffix(".left")
        run("cp", "--sparse=always", self.image, left)
        run("umount", self.path)
        left.replace(self.image)
        self.mount()

    def release(self):
        subprocess.run(["umount", "-l", self.path], check=False)


def descendants(pid):
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []
    return [int(child) for child in children] + [found for child in children for found in descendants(child)]


def end_everything(platform):
    """Whoever would start a daemon again is stopped first."""
    freeze(platform.process.pid)
    pids = descendants(platform.process.pid) + [platform.process.pid]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    platform.process.wait()
    platform.process.stdout.close()
    platform.process = None
    for pid in pids:
        wait_gone(pid)


def wait_gone(pid):
    """Until it holds no file any more: it is a zombie, and its last thread, too."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z" and len(os.listdir(f"/proc/{pid}/task")) == 1:
                return
        except (FileNotFoundError, ProcessLookupError):
            return
        time.sleep(0.005)
    raise AssertionError(f"process {pid} does not end")
