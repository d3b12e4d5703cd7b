"""The benchmarks of script/bench: every figure is a ratio of two things measured in the same run.

Servers run on core 0, the load generator on core 1. Absolute figures say something about this machine only.
"""
import argparse
import base64
import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/release"
sys.path.insert(0, str(ROOT / "tests/system"))
os.environ["VINVEIL_BUILD"] = str(BUILD)

import vehicles as connected  # noqa: E402
from conftest import make_vin  # noqa: E402
from installation import Platform, free_port_base  # noqa: E402

CONNECTIONS = 64
MANY_CONNECTIONS = 256  # more share a sync of the audit log
ANSWER = '{"referenceId":"00000000-0000-4000-8000-000000000000"}'


def tell(text=""):
    print(text, flush=True)


def on_core(core, command):
    return ["taskset", "-c", str(core), *map(str, command)]


def load(port, platform, client, path, bodies, seconds, once=False, connections=CONNECTIONS):
    paths = platform.info["clients"][client]
    command = [BUILD / "bench/load", "127.0.0.1", port, platform.info["caCertificate"], paths["certificate"],
               paths["key"], path, bodies, connections, seconds] + (["once"] if once else [])
    done = subprocess.run(on_core(1, command), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"the load generator failed: {done.stderr}")
    return json.loads(done.stdout)


def resident_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0


class Nginx:
    """nginx `return 200` with the same certificate, client verification, TLS version and answer size."""

    def __init__(self, platform, directory):
        self.port, self.directory = free_port_base(), directory / "nginx"
        self.directory.mkdir()
        data = platform.directory
        (self.directory / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; pid {self.directory}/pid; error_log {self.directory}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 600;
  client_body_temp_path {self.directory}; proxy_temp_path {self.directory}; fastcgi_temp_path {self.directory};
  uwsgi_temp_path {self.directory}; scgi_temp_path {self.directory};
  server {{
    listen 127.0.0.1:{self.port} ssl;
    ssl_certificate {data}/tls/server.pem; ssl_certificate_key {data}/tls/server.key;
    ssl_protocols TLSv1.3; ssl_verify_client on; ssl_client_certificate {data}/ca/operator-root.pem;
    default_type application/json;
    location / {{ return 200 '{ANSWER}'; }}
  }}
}}
""")
        self.process = subprocess.Popen(on_core(0, ["nginx", "-p", self.directory, "-c", self.directory / "nginx.conf"]),
                                        stderr=subprocess.DEVNULL)
        time.sleep(1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def start_on_core_0(platform):
    """The whole installation on one core: children inherit it."""
    former = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    try:
        return platform.start()
    finally:
        os.sched_setaffinity(0, former)


def write_fleet(path, count):
    with open(path, "w") as file:
        file.write("vin,deviceId\n")
        for number in range(count):
            file.write(f"{make_vin(number)},{hashlib.sha256(str(number).encode()).hexdigest()[:32]}\n")


def growth(platform, directory, count):
    """Benchmark 5: import rate and bytes a vehicle."""
    fleet = directory / "fleet.csv"
    tell(f"growth: making a fleet of {count:,} vehicles …")
    write_fleet(fleet, count)
    database = platform.directory / "registry/registry.db"
    empty = database.stat().st_size
    done = platform.cli("import", fleet, "--tenant", "demo", "--json", check=False)
    if done.returncode != 0:
        raise SystemExit(f"import failed: {done.stdout}{done.stderr}")
    outcome = json.loads(done.stdout)
    fleet.unlink()
    size = sum(p.stat().st_size for p in database.parent.iterdir()) - empty
    seconds = outcome["seconds"]
    tell(f"  import            {count / seconds:10,.0f} vehicles/s       wanted: 50,000")
    tell(f"  on disk           {size / count:10.1f} bytes a vehicle  wanted: at most 335, aiming for 280")
    began = time.monotonic()
    platform.start()
    tell(f"  start-up          {time.monotonic() - began:10.2f} s with {count:,} vehicles")
    platform.stop()


def against_nginx(platform, nginx, bodies, connections, seconds, rounds):
    ratios = []
    for number in range(rounds):
        a = load(platform.port_base, platform, "crm", "/v1/reference-ids/lookup", bodies, seconds, connections=connections)
        b = load(nginx.port, platform, "crm", "/", bodies, seconds, connections=connections)
        ratios.append(a["perSecond"] / b["perSecond"])
        tell(f"  round {number + 1}: vinveil {a['perSecond']:8,.0f}/s p50 {a['p50us']:6,.0f} µs p99 {a['p99us']:7,.0f} µs ({a['failures']} failed)"
             f"   nginx {b['perSecond']:8,.0f}/s p50 {b['p50us']:6,.0f} µs p99 {b['p99us']:7,.0f} µs")
    tell(f"  ratio             {statistics.median(ratios):10.2f} × nginx            wanted: 0.5, aiming for 0.7")


def conversion(platform, directory, count, seconds, rounds):
    """Benchmark 1: conversion, durably audited, against nginx `return 200`."""
    bodies = directory / "lookups.ndjson"
    chosen = random.Random(1)
    with open(bodies, "w") as file:
        for _ in range(min(count, 200_000)):
            digest = hashlib.sha256(make_vin(chosen.randrange(count)).encode()).hexdigest()
            file.write(json.dumps({"hashedVin": digest, "purpose": "customer-service"}, separators=(",", ":")) + "\n")
    start_on_core_0(platform)
    nginx = Nginx(platform, directory)
    time.sleep(2)
    for connections in (CONNECTIONS, MANY_CONNECTIONS):
        tell(f"conversion: {count:,} vehicles, {connections} connections, TLS 1.3, one core, {rounds} rounds of {seconds} s")
        against_nginx(platform, nginx, bodies, connections, seconds, rounds)
    for name, pid in platform.info["processes"].items():
        tell(f"  resident memory   {resident_mib(pid):10.1f} MiB {name} (without the page cache that is mapped)")
    nginx.stop()
    platform.stop()


def make_csrs(count):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    for _ in range(count):
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        yield base64.b64encode(csr.public_bytes(serialization.Encoding.DER)).decode()


def provisioning(platform, directory, rounds):
    """Benchmark 2: provisioning with a CSR against verify + sign + a share of one fsync."""
    start_on_core_0(platform)
    per_round = 2000
    tell(f"provisioning with CSR: {CONNECTIONS} connections, one core, {rounds} rounds of {per_round:,}")
    ratios = []
    for number in range(rounds):
        devices = [f"BENCH-{number}-{n}" for n in range(per_round)]
        platform.load_devices(*devices)
        bodies = directory / "provisioning.ndjson"
        with open(bodies, "w") as file:
            for n, csr in enumerate(make_csrs(per_round)):
                vin = make_vin(5_000_000 + number * per_round + n)
                file.write(json.dumps({"vin": vin, "deviceId": devices[n], "csr": csr}) + "\n")
        limit = json.loads(subprocess.run(on_core(0, [BUILD / "bench/issue_limit", directory / "scratch"]),
                                          capture_output=True, text=True, check=True).stdout)
        ours = load(platform.port_base, platform, "factory", "/v1/vehicles", bodies, 300, once=True)
        ratios.append(ours["perSecond"] / limit["perSecond"])
        tell(f"  round {number + 1}: vinveil {ours['perSecond']:6,.0f}/s p50 {ours['p50us'] / 1000:5.1f} ms p99 {ours['p99us'] / 1000:5.1f} ms"
             f" ({ours['failures']} failed)   limit {limit['perSecond']:6,.0f}/s (crypto {limit['cryptoUs']:.0f} µs, fsync {limit['syncUs']:.0f} µs)")
    tell(f"  ratio             {statistics.median(ratios):10.2f} × the limit        wanted: 0.5")
    platform.stop()


def registry(what, directory, options):
    """Benchmarks 1, 2 and 5."""
    platform = Platform(directory / "data", "--rate-limit", "500000")
    try:
        platform.start()
        platform.stop()
        if "growth" in what or "conversion" in what:
            growth(platform, directory, options.vehicles)
        if "conversion" in what:
            conversion(platform, directory, options.vehicles, options.seconds, options.rounds)
        if "provisioning" in what:
            provisioning(platform, directory, options.rounds)
    finally:
        platform.stop()


def vehicles(what, directory, options):
    """Benchmarks 3 and 4, and what else connected vehicles cost."""
    fleet = connected.Vehicles(BUILD, directory)
    try:
        if "cut" in what:
            connected.cut(fleet)
        if "telemetry" in what:
            connected.telemetry(fleet, options.seconds, options.rounds)
        if "connections" in what:
            connected.connections(fleet)
        if "claims" in what:
            connected.claims(fleet, options.rounds)
    finally:
        fleet.stop()


REGISTRY = ["growth", "conversion", "provisioning"]
VEHICLES = ["cut", "telemetry", "connections", "claims"]


def main():
    parser = argparse.ArgumentParser(prog="script/bench")
    parser.add_argument("--vehicles", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("what", nargs="*", choices=[*REGISTRY, *VEHICLES, []], default=[])
    options = parser.parse_args()
    what = options.what or REGISTRY + VEHICLES
    directory = pathlib.Path(tempfile.mkdtemp(prefix="vinveil-bench-"))
    try:
        if any(name in what for name in REGISTRY):
            registry(what, directory, options)
        if any(name in what for name in VEHICLES):
            vehicles(what, directory, options)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
