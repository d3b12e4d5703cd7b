"""The shim of shims/faults.c, built once, and the switch that arms it."""
import errno
import mmap
import os
import pathlib
import struct
import subprocess

SOURCE = pathlib.Path(__file__).parent / "shims/faults.c"
SIZE = 128
FIELDS = {"clock_offset_ms": 0, "sync_errno": 8, "write_errno": 16, "allocation": 24, "hits": 32}


def build(directory):
    library = pathlib.Path(directory) / "faults.so"
    subprocess.run([os.environ.get("CC", "cc"), "-D_GNU_SOURCE", "-O1", "-fPIC", "-shared", "-w", "-o", library, SOURCE, "-ldl"],
                   check=True)
    return library


class Switch:
    """Faults of the processes that were started with `environment`."""

    def __init__(self, library, path):
        path = pathlib.Path(path)
        path.write_bytes(bytes(SIZE))
        self.environment = {**os.environ, "LD_PRELOAD": str(library), "FAULTS_CONTROL": str(path)}
        with open(path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), SIZE)

    def set(self, **values):
        path = values.pop("path", None)
        if path is not None:
            self.memory[40:128] = path.encode().ljust(88, b"\0")
        for name, value in values.items():
            struct.pack_into("q", self.memory, FIELDS[name], value)

    def get(self, name):
        return struct.unpack_from("q", self.memory, FIELDS[name])[0]

    def clear(self):
        self.memory[:] = bytes(SIZE)


def fill(directory):
    """Takes every byte that is left."""
    descriptor = os.open(directory / "filler", os.O_CREAT | os.O_WRONLY)
    for size in (1 << 20, 4096, 1):
        try:
            while True:
                os.write(descriptor, bytes(size))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    os.close(descriptor)
