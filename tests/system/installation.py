"""A real installation under test: `vinveil dev` in a directory and on ports of its own, and clients for it."""
import http.client
import itertools
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("VINVEIL_BUILD", ROOT / "build" / "release"))
PROGRAMS = BUILD / "bin"
SANITIZED = b"__asan_init" in (PROGRAMS / "vinveild").read_bytes() if (PROGRAMS / "vinveild").exists() else False
VINS = [line.split("\t") for line in (ROOT / "tests/vectors/vins.tsv").read_text().splitlines()
        if line and not line.startswith("#") and not line.startswith("vin\t")]

# Below those that the kernel gives to clients: one of them would stand in the way of a daemon that comes back. Round and
# round: where it begins depends on the process, and a run needs more than the highest beginning leaves.
_bases = range(10240, 32700, 20)
_turns = itertools.count(os.getpid())


def free_port_base():
    """A base whose next ports nobody listens on now."""
    for turn in itertools.islice(_turns, len(_bases)):
        base = _bases[turn % len(_bases)]
        try:
            for port in range(base, base + 8):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise RuntimeError("no free ports")


def eventually(what, probe, timeout=30, pause=0.02):
    """What `probe` returns once it is true; fails with `what` when that takes too long."""
    until = time.monotonic() + timeout
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < until, f"not within {timeout} s: {what}"
        time.sleep(pause)


def freeze(pid):
    """SIGSTOP, and none of its threads runs any more: the signal takes effect only when one of them is scheduled."""
    def stands_still():
        tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
        return all((task / "stat").read_text().rpartition(")")[2].split()[0] in "Tt" for task in tasks)
    os.kill(pid, signal.SIGSTOP)
    eventually("it stands still", stands_still, pause=0.005)


def patiently(ask, timeout=30):
    """As a client that honours Retry-After."""
    until = time.monotonic() + timeout
    while (answer := ask()).status == 503 and time.monotonic() < until:
        time.sleep(int(answer.headers["retry-after"]))
    return answer


class Answer:
    """Status, headers (lower-case names) and body of one response."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def problem(self):
        """The stable name of the problem document."""
        return self.json["type"].removeprefix("urn:vinveil:problem:")

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


class Client:
    """One client application: a keep-alive connection with its certificate."""

    def __init__(self, platform, certificate=None, key=None, timeout=30):
        url = urllib.parse.urlparse(platform.info["api"])
        context = ssl.create_default_context(cafile=platform.info["caCertificate"])
        if certificate:
            context.load_cert_chain(certificate, key)
        self.address, self.context, self.timeout = (url.hostname, url.port), context, timeout
        self.connection = None

    def request(self, method, path, body=None, headers=None, raw=None):
        """One exchange; `body` is sent as JSON, `raw` (bytes) as it is. Reconnects when the connection was closed."""
        headers = dict(headers or {})
        if raw is None and body is not None:
            raw = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        for attempt in (1, 2):
            if self.connection is None:
                self.connection = http.client.HTTPSConnection(*self.address, context=self.context,
                                                              timeout=self.timeout)
                attempt = 2
            try:
                self.connection.request(method, path, raw, headers)
                response = self.connection.getresponse()
                return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
            except (http.client.HTTPException, OSError):
                self.close()
                if attempt == 2:
                    raise

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Platform:
    """`vinveil dev`, started and stopped; its processes are known by ID."""

    def __init__(self, directory, *options, port_base=None, environment=None):
        self.directory = pathlib.Path(directory)
        self.environment = environment
        self.port_base = port_base or free_port_base()
        self.options = options
        self.process = None
        self.info = None
        self._clients = {}

    def start(self, timeout=60, expect_ready=True):
        log = open(self.directory.parent / f"{self.directory.name}.log", "ab")
        self.log_path = pathlib.Path(log.name)
        self.process = subprocess.Popen(
            [PROGRAMS / "vinveil", "dev", "--data", self.directory, "--port-base", str(self.port_base), *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment)
        log.close()
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            self.process.wait(timeout)
            if expect_ready:
                raise AssertionError(f"vinveil dev did not start: {self.log_path.read_text()[-4000:]}")
            return self
        self.read_info()
        return self

    def read_info(self):
        self.info = json.loads((self.directory / "dev.json").read_text())
        return self.info

    def stop(self, timeout=60):
        for client in self._clients.values():
            client.close()
        self._clients.clear()
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout)
        self.process.stdout.close()
        self.process = None
        return code

    def stop_only(self, timeout=60):
        """SIGTERM, and the exit code; the clients' connections stay as they are."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def kill(self, name, sig=signal.SIGKILL):
        """Kills one of the processes named in dev.json; `vinveil dev` starts it again."""
        pid = self.read_info()["processes"][name]
        os.kill(pid, sig)
        return pid

    def freeze(self, name):
        """Stops one of the processes named in dev.json, for SIGCONT to go on."""
        pid = self.read_info()["processes"][name]
        freeze(pid)
        return pid

    def wait_restarted(self, name, old_pid, timeout=30):
        """Until dev.json names a new process and the platform is ready again."""
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            try:
                if self.read_info()["processes"][name] != old_pid and self.operations("/readyz").status == 200:
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.02)
        raise AssertionError(f"{name} did not come back: {self.log_path.read_text()[-4000:]}")

    def client(self, name=None):
        """The cached keep-alive client of that name; None: no certificate."""
        if name not in self._clients:
            self._clients[name] = self.new_client(name)
        return self._clients[name]

    def new_client(self, name=None, kind=Client, **options):
        """A connection of its own (for threads)."""
        if name is None:
            return kind(self, **options)
        paths = self.info["clients"][name]
        return kind(self, paths["certificate"], paths["key"], **options)

    def operations(self, path):
        url = urllib.parse.urlparse(self.info["operations"])
        connection = http.client.HTTPConnection(url.hostname, url.port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def wait_checkpoint(self):
        """Until a signed checkpoint covers every leaf that is in the log now."""
        def sizes():
            lines = self.operations("/metrics").body.decode().splitlines()
            return [int(line.split()[1]) for name in ("size", "checkpoint_size") for line in lines
                    if line.startswith(f"vinveil_audit_log_{name} ")]
        size = sizes()[0]
        eventually("a checkpoint covers the log", lambda: sizes()[1] >= size, pause=0.05)

    def cli(self, *arguments, input=None, check=True):
        """Runs `vinveil ARGUMENTS --data DIR`."""
        done = subprocess.run([PROGRAMS / "vinveil", *arguments, "--data", self.directory], input=input, text=True,
                              capture_output=True, timeout=120)
        if check and done.returncode != 0:
            raise AssertionError(f"vinveil {' '.join(map(str, arguments))}: {done.returncode}\n{done.stderr}")
        return done

    # ---- what most tests begin with ----

    def load_devices(self, *device_ids, client="factory", **members):
        lines = "".join(json.dumps({"deviceId": device, **members}) + "\n" for device in device_ids)
        answer = self.client(client).post("/v1/devices", raw=lines.encode(),
                                          headers={"Content-Type": "application/x-ndjson"})
        assert answer.status == 200, answer
        return answer

    def provision(self, vin, device_id, client="factory", **members):
        self.load_devices(device_id, client="factory" if client != "stranger" else "stranger")
        return self.client(client).post("/v1/vehicles", {"vin": vin, "deviceId": device_id, **members})
