"""Searching files and memory for VINs and their hashes in every form that could still be read."""
import base64
import hashlib
import pathlib


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


def search_files(paths, forms):
    """(hits, number of files read); directories are walked."""
    hits, count = [], 0
    for path in map(pathlib.Path, paths):
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file() and not file.is_symlink():
                count += 1
                hits += search_bytes(file.read_bytes(), forms, file)
                hits += [f"{what} in the name of {file}" for form, what in forms.items() if form in str(file).encode()]
    return hits, count


BLOCK = 4096


def touched(content):
    """The content without its untouched pages (all zero), with neighbours kept together; [(offset, bytes)]."""
    runs, start = [], None
    for at in range(0, len(content), BLOCK):
        block = content[at:at + BLOCK]
        if block.count(0) == len(block):
            if start is not None:
                runs.append((start, content[start:at]))
                start = None
        elif start is None:
            start = at
    if start is not None:
        runs.append((start, content[start:]))
    return runs


def search_memory(pid, forms, overlap=256, chunk=8 << 20):
    """(hits, bytes read) over every readable mapping of a process, as root sees it."""
    hits, total = [], 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split(maxsplit=5)
            name = fields[5].strip() if len(fields) > 5 else "anonymous"
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
                for offset, run in touched(content):
                    hits += search_bytes(run, forms, f"{name} {at + offset:#x}")
                at += len(content) - (overlap if at + len(content) < end and len(content) > overlap else 0)
    return hits, total
