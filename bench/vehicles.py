"""The benchmarks of connected vehicles: the cut, telemetry, idle connections, provisioning by claim.

Beside each figure stands what a broker without vinveil does on the same machine in the same run: Mosquitto with the same
certificates and TLS, and no plugin.
"""
import json
import os
import pathlib
import resource
import signal
import statistics
import subprocess
import time
import urllib.request

from installation import Platform, free_port_base


def tell(text=""):
    print(text, flush=True)


def raise_limits():
    """As many open files as we may have; children inherit it."""
    wanted, (_, hard) = 65536, resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def resident_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1])
    return 0


class BareBroker:
    """Mosquitto as it comes: no plugin, nobody asked, no queue limits; and a listener without TLS for the subscriber."""

    def __init__(self, platform, directory):
        self.port = free_port_base()
        self.plain_port = self.port + 1
        data, config = platform.directory, directory / "bare.conf"
        config.write_text(f"""allow_anonymous true
user root
persistence false
set_tcp_nodelay true
max_queued_messages 0
max_inflight_messages 0
log_type error
listener {self.plain_port} 127.0.0.1
listener {self.port} 127.0.0.1
cafile {data}/gateway/device-ca.pem
certfile {data}/tls/broker.pem
keyfile {data}/tls/broker.key
require_certificate true
""")
        program = "/usr/sbin/mosquitto" if os.path.exists("/usr/sbin/mosquitto") else "mosquitto"
        self.process = subprocess.Popen([program, "-c", config], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(1)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


class Load:
    """bench/mqtt_load, running beside us."""

    def __init__(self, build, mode, *arguments):
        self.process = subprocess.Popen([build / "bench/mqtt_load", mode, *map(str, arguments)], stdout=subprocess.PIPE,
                                        text=True)

    def wait_connected(self):
        if self.process.stdout.readline().strip() != "connected":
            raise SystemExit("the MQTT load generator did not connect")
        return self

    def result(self, end=False):
        if end:
            self.process.send_signal(signal.SIGTERM)
        text = self.process.communicate(timeout=600)[0]
        if self.process.returncode != 0:
            raise SystemExit("the MQTT load generator failed")
        return json.loads(text.strip().splitlines()[-1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.communicate(timeout=60)[0]


class Vehicles:
    """What all four need: an installation whose limits are out of the way, and a fleet with credentials."""

    def __init__(self, build, directory):
        self.build, self.directory = build, directory
        self.platform = Platform(directory / "vehicles", "--rate-limit", "500000", "--messages-per-second", "500000",
                                 "--messages-burst", "1000000")
        self.files = raise_limits()
        self.platform.start()

    def stop(self):
        self.platform.stop()

    def simulate(self, *options, **keywords):
        return subprocess.Popen([self.build / "bin/vinveil", "simulate", "--data", self.platform.directory, "--json",
                                 *map(str, options)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **keywords)

    def provision(self, name, count, *options, seed):
        """A fleet's credentials; (directory, the simulator's report)."""
        place = self.directory / name
        process = self.simulate("--vehicles", count, "--only-provision", "--credentials", place, "--seed", seed, *options)
        output, errors = process.communicate()
        if process.returncode != 0:
            raise SystemExit(f"provisioning failed: {errors}")
        return place, json.loads(output)

    def mqtt(self):
        mqtt = self.platform.info["mqtt"]
        return mqtt["host"], mqtt["port"], mqtt["caCertificate"]

    def bare(self):
        return BareBroker(self.platform, self.directory)


def ingested(platform):
    """How many messages are stored durably, as vinveil-ingest tells."""
    port = platform.port_base + 5
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(INGESTED + " "):
                return int(float(line.split()[1]))
    raise SystemExit(f"vinveil-ingest does not tell {INGESTED}")


INGESTED = "vinveil_telemetry_messages_total"


# ---- benchmark 3 ------------------------------------------------------------------------------------------


def percentile(values, part):
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def read_cuts(text):
    return {line.split()[1]: int(line.split()[2]) / 1e6 for line in text.splitlines() if line.startswith("cut ")}


def change_tcus(platform, ids, seed):
    """A TCU change each, one after the other: {reference ID: (asked, answered)} in ms of CLOCK_MONOTONIC."""
    client, times = platform.client("service-center"), {}
    for number, reference_id in enumerate(ids, 1):
        device, asked = f"SIM-{seed}-{number:06d}", time.monotonic_ns()
        answer = client.post("/v1/tcu-changes", {"referenceId": reference_id, "deviceId": device,
                                                 "newDeviceId": f"NEXT-{seed}-{number}"})
        times[reference_id] = (asked / 1e6, time.monotonic_ns() / 1e6)
        if answer.status != 200:
            raise SystemExit(f"a TCU change failed: {answer}")
    return times


def cut(vehicles, connected=1000, victims=500):
    """TCU change → the old unit's session ends, with vehicles connected and telemetry flowing. 0: before the answer came."""
    seed = 31
    driving, _ = vehicles.provision("driving", connected - victims, seed=30)
    doomed, _ = vehicles.provision("doomed", victims, seed=seed)
    vehicles.platform.load_devices(*(f"NEXT-{seed}-{n}" for n in range(1, victims + 1)))
    fleet = vehicles.simulate("--vehicles", connected - victims, "--rate", 2, "--credentials", driving, "--seed", 30)
    hold = Load(vehicles.build, "hold", *vehicles.mqtt(), doomed, victims).wait_connected()
    wait_driving(fleet)
    ids = [path.name[7:43] for path in sorted(doomed.iterdir())]
    times = change_tcus(vehicles.platform, ids, seed)
    time.sleep(1)
    cuts = read_cuts(hold.stop())
    fleet.send_signal(signal.SIGTERM)
    report = json.loads(fleet.communicate()[0])
    from_answer = [max(0.0, cuts[one] - times[one][1]) for one in ids]
    from_request = [cuts[one] - times[one][0] for one in ids]
    tell(f"cut: {connected:,} vehicles connected, {report['perSecond']:,.0f} messages/s, {victims} TCU changes")
    for name, values in (("answer → cut", from_answer), ("request → cut", from_request)):
        tell(f"  {name:17s} p50 {percentile(values, 0.5):6.2f} ms  p99 {percentile(values, 0.99):6.2f} ms"
             + ("   wanted: p99 under 10 ms" if name.startswith("answer") else ""))
    bare_kick(vehicles, driving, connected - victims, doomed, victims)


def wait_driving(fleet):
    """Until the simulator says that its vehicles are connected."""
    for line in fleet.stderr:
        if line.rstrip().endswith(" connected"):
            return
    raise SystemExit("the simulated fleet did not connect")


def bare_kick(vehicles, driving, driving_count, doomed, count):
    """The nearest that a bare broker has: a second connection under the ID ends the first."""
    bare = vehicles.bare()
    fleet = vehicles.simulate("--vehicles", driving_count, "--rate", 2, "--credentials", driving, "--seed", 30,
                              "--endpoint", f"127.0.0.1:{bare.port}")
    wait_driving(fleet)
    taken = Load(vehicles.build, "takeover", "127.0.0.1", bare.port, vehicles.mqtt()[2], doomed, count).wait_connected().result()
    fleet.send_signal(signal.SIGTERM)
    fleet.communicate()
    bare.stop()
    tell(f"  bare broker       p50 {taken['p50ms']:6.2f} ms  p99 {taken['p99ms']:6.2f} ms  (takeover of a session: its own kick)")


# ---- benchmark 4 ------------------------------------------------------------------------------------------


def stored_rate(vehicles, credentials, connections, window, seconds):
    before = ingested(vehicles.platform)
    load = Load(vehicles.build, "publish", *vehicles.mqtt(), credentials, connections, window, seconds).wait_connected()
    result = load.result()
    until = time.monotonic() + 300
    while ingested(vehicles.platform) - before < result["acknowledged"]:
        if time.monotonic() > until:
            raise SystemExit(f"of {result['acknowledged']} acknowledged only {ingested(vehicles.platform) - before} are stored")
        time.sleep(0.01)
    taken = time.monotonic_ns() - result["beganNs"]
    return result["acknowledged"] * 1e9 / taken, result["perSecond"]


def passed_rate(vehicles, bare, credentials, connections, window, seconds):
    subscriber = Load(vehicles.build, "subscribe", "127.0.0.1", bare.plain_port, "vehicles/+/signals").wait_connected()
    time.sleep(0.2)
    load = Load(vehicles.build, "publish", "127.0.0.1", bare.port, vehicles.mqtt()[2], credentials, connections, window,
                seconds).wait_connected()
    sent = load.result()
    time.sleep(1)
    received = subscriber.result(end=True)
    if received["received"] < sent["acknowledged"]:
        tell(f"  (the bare broker lost {sent['acknowledged'] - received['received']:,} messages)")
    return received["received"] * 1e9 / (received["lastNs"] - sent["beganNs"])


def telemetry(vehicles, seconds, rounds, connections=64, window=32):
    """Messages/s stored durably against what the bare broker passes to one plain subscriber."""
    credentials, _ = vehicles.provision("sending", connections, seed=40)
    tell(f"telemetry: {connections} vehicles, QoS 1, {window} in flight each, about 200 bytes, {rounds} rounds of {seconds} s")
    ratios = []
    for number in range(rounds):
        ours, acknowledged = stored_rate(vehicles, credentials, connections, window, seconds)
        bare = vehicles.bare()
        theirs = passed_rate(vehicles, bare, credentials, connections, window, seconds)
        bare.stop()
        ratios.append(ours / theirs)
        tell(f"  round {number + 1}: stored {ours:9,.0f}/s ({acknowledged:9,.0f}/s acknowledged)   bare broker {theirs:9,.0f}/s")
    tell(f"  ratio             {statistics.median(ratios):10.2f} × the bare broker   wanted: 0.7")


# ---- connections, claims ------------------------------------------------------------------------------------


def memory_of(build, pid, address, credentials, count):
    before = resident_kb(pid)
    began = time.monotonic()
    hold = Load(build, "hold", *address, credentials, count).wait_connected()
    taken = time.monotonic() - began
    time.sleep(2)
    after = resident_kb(pid)
    cuts = read_cuts(hold.stop())
    return (after - before) / count, count / taken, len(cuts)


def connections(vehicles, count=10_000):
    """Idle vehicles: the broker's memory for each."""
    count = min(count, vehicles.files - 1000)
    credentials, report = vehicles.provision("idle", count, seed=50)
    tell(f"connections: {count:,} idle vehicles (provisioned at {report['provisionedPerSecond']:,.0f}/s through the API)")
    pid = vehicles.platform.read_info()["processes"]["mosquitto"]
    kb, rate, lost = memory_of(vehicles.build, pid, vehicles.mqtt(), credentials, count)
    tell(f"  vinveil           {kb:10.1f} kB each, {rate:6,.0f} connections/s, {lost} lost")
    bare = vehicles.bare()
    address = ("127.0.0.1", bare.port, vehicles.mqtt()[2])
    kb, rate, lost = memory_of(vehicles.build, bare.process.pid, address, credentials, count)
    bare.stop()
    tell(f"  bare broker       {kb:10.1f} kB each, {rate:6,.0f} connections/s, {lost} lost")


def claims(vehicles, rounds, count=2000):
    """Provisioning by claim over MQTT: CSR, certificate, VIN, vehicle."""
    rates = []
    for number in range(rounds):
        _, report = vehicles.provision(f"claimed-{number}", count, "--provision", "claim", "--parallel", 32, seed=60 + number)
        rates.append(report["provisionedPerSecond"])
    tell(f"claims: {count:,} vehicles by claim over MQTT, {rounds} rounds")
    tell(f"  provisioned       {statistics.median(rates):10,.0f} vehicles/s       wanted: 200")
