"""Searching files and memory for VINs and their hashes in every form that could still be read."""
import base64
import ctypes
import functools
import hashlib
import os
import pathlib
import subprocess
import tempfile
import time


def needles(vins):
    """{bytes: what it is} for each VIN and its SHA-256: ASCII, hex, base64 (at each alignment), UTF-16, raw."""
    found = {}

    def add(form, what):
        if len(form) >= 12:
            found[form] = what

    def add_text(text, what):
        add(text.encode(), what)
        add(text.encode("utf-16-le"), what + " in UTF-16")
        add(text.encode("utf-16-be"), what + " in UTF-16")

    def add_base64(raw, what):
        for skip in range(3):
            # What base64 makes of these bytes wherever they stand in a longer text: the part that no neighbour touches.
            encoded = base64.b64encode(b"\0" * skip + raw)
            core = encoded[(skip * 8 + 5) // 6:len(raw + b"\0" * skip) * 8 // 6]
            add(core, what + " in base64")
            add(core.translate(bytes.maketrans(b"+/", b"-_")), what + " in base64url")

    for vin in vins:
        digest = hashlib.sha256(vin.encode()).digest()
        for text in (vin, vin.lower()):
            add_text(text, "VIN")
            add(text.encode().hex().encode(), "VIN in hex")
            add(text.encode().hex().upper().encode(), "VIN in hex")
            add_base64(text.encode(), "VIN")
        add(digest, "hash, raw")
        add_text(digest.hex(), "hash in hex")
        add_text(digest.hex().upper(), "hash in hex")
        add_base64(digest, "hash")
    return found


def search_bytes(content, forms, where):
    return [f"{what} at {where}+{content.find(form)}" for form, what in forms.items() if form in content]


class Text(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_char_p), ("size", ctypes.c_uint32), ("at", ctypes.c_int64), ("next", ctypes.c_int32)]


@functools.cache
def library():
    """shims/search.c: hundreds of forms in hundreds of megabytes are too much for a search one by one."""
    with tempfile.TemporaryDirectory() as directory:
        made = pathlib.Path(directory) / "search.so"
        source = pathlib.Path(__file__).parent / "shims/search.c"
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-fPIC", "-shared", "-o", made, source], check=True)
        loaded = ctypes.CDLL(made)
    loaded.index_size.restype = ctypes.c_ulong
    return loaded


class Index:
    """The forms, to be searched for all at once."""

    def __init__(self, forms):
        self.whats, self.count = list(forms.values()), len(forms)
        self.texts = (Text * self.count)(*((form, len(form), -1, -1) for form in forms))
        self.index = ctypes.create_string_buffer(library().index_size())
        library().index_make(self.index, self.texts, self.count)

    def search(self, content, where):
        library().index_search(self.index, self.texts, self.count, content, ctypes.c_uint64(len(content)))
        return [f"{what} at {where}+{text.at}" for what, text in zip(self.whats, self.texts) if text.at >= 0]


def search_files(paths, forms):
    """(hits, number of files read); directories are walked."""
    hits, count, index = [], 0, Index(forms)
    for path in map(pathlib.Path, paths):
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                count += 1
                hits += index.search(file.read_bytes(), file)
                hits += [f"{what} in the name of {file}" for form, what in forms.items() if form in str(file).encode()]
    return hits, count


def what_stays(search, second=1, patience=10):
    """What a search finds a second after the last request. A machine that is late wipes late: it has some more seconds, in
    which nobody asks anything that would wipe in its place."""
    time.sleep(second)
    until = time.monotonic() + patience
    while (hits := search()) and time.monotonic() < until:
        time.sleep(second)
    return hits


def search_memory(pid, forms, overlap=256, chunk=8 << 20):
    """(hits, bytes read) over every readable mapping of a process, as root sees it."""
    hits, total, index = [], 0, Index(forms)
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split(maxsplit=5)
            name = fields[5].strip() if len(fields) > 5 else "anonymous"
            if "w" not in fields[1] and name.startswith(("/usr/", "/lib/")):
                continue  # a library's code, as it is on the disk
            if "r" not in fields[1] or name in ("[vvar]", "[vsyscall]"):
                continue
            at, end = (int(part, 16) for part in fields[0].split("-"))
            while at < end:
                try:
                    memory.seek(at)
                    content = memory.read(min(chunk, end - at))
                except (OSError, ValueError, OverflowError):
                    break  # a mapping beyond its file's end, or gone
                if not content:
                    break
                total += len(content)
                if content.count(0) != len(content):
                    hits += index.search(content, f"{name} {at:#x}")
                at += len(content) - (overlap if at + len(content) < end and len(content) > overlap else 0)
    return hits, total
