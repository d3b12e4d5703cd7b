"""What an installation has on disk, read without its programs: the audit log's leaves, the registry's rows."""
import json
import pathlib
import sqlite3
import struct
import uuid

# The numbers that the registry stores (src/vehicle/vehicle.h).
PROVISIONED, DEVICE_CHANGED, DEVICE_REMOVED, CERTIFICATE_ISSUED = 1, 2, 3, 4


def read_leaves(directory):
    """Every whole leaf of the log, in order."""
    leaves = []
    for path in sorted(pathlib.Path(directory, "audit").glob("entries-*")):
        content, at = path.read_bytes(), 0
        while at + 2 <= len(content):
            (size,) = struct.unpack_from(">H", content, at)
            if at + 2 + size > len(content) or size == 0:
                break
            leaves.append(json.loads(content[at + 2:at + 2 + size]))
            at += 2 + size
    return leaves


def checkpoint_size(directory):
    """The size that the last signed checkpoint states; 0 before the first."""
    try:
        return int(pathlib.Path(directory, "audit/checkpoint").read_text().split("\n")[1])
    except FileNotFoundError:
        return 0


class Registry:
    """Rows of a registry whose daemon is stopped (or is not: readers do not disturb it)."""

    def __init__(self, directory):
        self.connection = sqlite3.connect(f"file:{directory}/registry/registry.db?mode=ro", uri=True)

    def all(self, statement, *values):
        return self.connection.execute(statement, values).fetchall()

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def reference_text(blob):
    return str(uuid.UUID(bytes=bytes(blob)))
