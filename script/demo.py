"""Walks the story of vinveil on a fresh installation, with public VINs; called by script/demo."""
import base64
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build/release/bin"
ONCE = sys.argv[1] == "yes"
VINS = [line.split("\t")[0] for line in (ROOT / "tests/vectors/vins.tsv").read_text().splitlines()
        if line and not line.startswith("#") and not line.startswith("vin\t")]
COLOUR = sys.stdout.isatty()
UNDER_WAY_MAX = 64  # of one simulated vehicle's messages


class DoesNotHold(Exception):
    """A step of the story that did not come true."""


def tell(text):
    print(text, flush=True)


def chapter(text):
    tell("\n" + (f"\033[1m{text}\033[0m" if COLOUR else text))


def check(condition, what):
    if not condition:
        raise DoesNotHold(what)


def free_port_base():
    for base in range(8443 + os.getpid() % 100 * 10, 60000, 10):  # not where another one starts just now
        try:
            for port in range(base, base + 6):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise DoesNotHold("no free port")


class Line:
    """A telematics unit's connection as the wire sees it: TLS with its certificate, MQTT 3.1.1. Notes when it is cut."""

    def __init__(self, mqtt, client_id, credentials):
        context = ssl.create_default_context(cafile=mqtt["caCertificate"])
        context.load_cert_chain(credentials)
        self.socket = context.wrap_socket(socket.create_connection((mqtt["host"], mqtt["port"]), 10),
                                          server_hostname=mqtt["host"])
        body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(client_id).to_bytes(2, "big") + client_id.encode()
        self.socket.sendall(b"\x10" + bytes([len(body)]) + body)
        answer = self.socket.recv(4)
        self.code = answer[3] if len(answer) == 4 else None
        self.cut_at, self.watcher = None, threading.Thread(target=self.watch, daemon=True)
        if self.code == 0:
            self.socket.settimeout(None)
            self.watcher.start()

    def watch(self):
        try:
            while self.socket.recv(4096):
                pass
        except OSError:
            pass
        self.cut_at = time.monotonic()

    def close(self):
        # The watcher sits in a read: the descriptor must not be somebody else's before it is out of it.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.watcher.join(10)
        self.socket.close()

    def milliseconds_from(self, began):
        self.watcher.join(10)
        check(self.cut_at is not None, "the line was not cut")
        return (self.cut_at - began) * 1000


class Story:
    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.data = self.directory / "data"
        self.platform = self.drivers = None
        self.cars = []

    def vinveil(self, *arguments, input=None, expect=0):
        """Runs the CLI as a person would; returns its standard output, parsed when it is JSON."""
        done = subprocess.run([BIN / "vinveil", *arguments, "--data", self.data], input=input, text=True,
                              capture_output=True)
        check(done.returncode == expect,
              f"vinveil {' '.join(map(str, arguments))}: exit {done.returncode}, not {expect}\n{done.stderr}")
        if "--json" in arguments and expect == 0:
            return json.loads(done.stdout)
        return done.stdout + done.stderr

    def start(self):
        port = free_port_base()
        log = open(self.directory / "platform.log", "wb")
        self.platform = subprocess.Popen([BIN / "vinveil", "dev", "--data", self.data, "--port-base", str(port)],
                                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        line = self.platform.stdout.readline()
        check(line.startswith("ready"), f"the platform did not start; see {log.name}")
        tell("  " + line.strip())

    def api(self, client, method, path, body=None):
        """One request, as an application makes it; (status, JSON)."""
        info = json.loads((self.data / "dev.json").read_text())
        address, files = urllib.parse.urlparse(info["api"]), info["clients"][client]
        context = ssl.create_default_context(cafile=info["caCertificate"])
        context.load_cert_chain(files["certificate"], files["key"])
        connection = http.client.HTTPSConnection(address.hostname, address.port, context=context, timeout=30)
        connection.request(method, path, json.dumps(body) if body is not None else None,
                           {"Content-Type": "application/json"} if body is not None else {})
        answer = connection.getresponse()
        self.answered_at = time.monotonic()
        content = json.loads(answer.read() or b"null")
        connection.close()
        return answer.status, content

    def eventually(self, what, probe, seconds=30):
        until = time.monotonic() + seconds
        while not (found := probe()):
            check(time.monotonic() < until, f"not within {seconds} s: {what}")
            time.sleep(0.02)
        return found

    def keep(self, number, answer, key=None):
        """Puts a car's credentials where its (simulated) telematics unit has them."""
        credentials = answer["credentials"]
        fleet = self.directory / "cars"
        fleet.mkdir(mode=0o700, exist_ok=True)
        path = fleet / f"{number:06d}-{answer['referenceId']}.pem"
        path.touch(0o600)
        path.write_text(credentials["certificate"] + credentials["chain"] + (key or credentials["privateKey"]))
        return path

    def stop(self):
        if self.drivers is not None and self.drivers.poll() is None:
            self.drivers.send_signal(signal.SIGTERM)
            self.drivers.wait(30)
        if self.platform is not None and self.platform.poll() is None:
            self.platform.send_signal(signal.SIGTERM)
            self.platform.wait(60)

    # ---- the chapters ----

    def manifest(self):
        chapter("1. The TCU manufacturer delivers a device manifest.")
        path = self.directory / "manifest.ndjson"
        path.write_text("".join(json.dumps({"deviceId": f"TCU-{n:04d}", "model": "T-Box 5", "manufacturer": "Telematix"})
                                + "\n" for n in range(1, 51)))
        answer = self.vinveil("devices", "load", path, "--as", "factory", "--json")
        check(answer["accepted"] == 50, f"50 devices were offered: {answer}")
        tell("  50 telematics units may now be provisioned; nobody else's can.")

    def openssl(self, *arguments):
        done = subprocess.run(["openssl", *arguments], text=True, capture_output=True)
        check(done.returncode == 0, f"openssl {arguments[0]}: {done.stderr}")
        return done.stdout

    def provision(self):
        chapter("2. Cars leave the line: each gets a random Reference ID and a certificate in its name.")
        key, csr = self.directory / "tcu.key", self.directory / "tcu.csr"
        self.openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
        self.openssl("req", "-new", "-key", str(key), "-subj", "/CN=whatever the TCU says", "-out", str(csr))
        self.first = self.vinveil("provision", "--device-id", "TCU-0001", "--csr", csr, "--as", "factory", "--json",
                                  input=VINS[0])
        tell(f"  A TCU that made its own key sent a CSR:   Reference ID {self.first['referenceId']}")
        for number, vin in enumerate(VINS[1:20], 2):
            answer = self.vinveil("provision", "--device-id", f"TCU-{number:04d}", "--as", "factory", "--json", input=vin)
            check(answer["referenceId"] != self.first["referenceId"], "two vehicles share a Reference ID")
            self.keep(number - 1, answer)
            self.cars.append(answer["referenceId"])
        self.last = answer
        tell(f"  19 more, with keys returned once and never kept; the last: {answer['referenceId']}")
        certificate = self.directory / "tcu.pem"
        certificate.write_text(self.first["credentials"]["certificate"])
        subject = self.openssl("x509", "-in", str(certificate), "-noout", "-subject", "-ext", "extendedKeyUsage").split("\n")
        tell("  Its certificate says: " + subject[0].strip())
        check(self.first["referenceId"] in subject[0], "the certificate does not name the Reference ID")
        again = self.vinveil("provision", "--device-id", "TCU-0001", "--csr", csr, "--as", "factory", "--json",
                             input=VINS[0])
        check(again["referenceId"] == self.first["referenceId"] and "credentials" not in again,
              "a known vehicle was not merely validated")
        tell("  Asked again for the first: the same Reference ID, validated, no second certificate.")

    def convert(self):
        chapter("3. The CRM knows a VIN's hash and needs the Reference ID.")
        hashed = hashlib.sha256(VINS[0].encode()).hexdigest()
        answer = self.vinveil("lookup", "--purpose", "customer-service", "--as", "crm", "--json", input=hashed)
        check(answer["referenceId"] == self.first["referenceId"], "the conversion found another vehicle")
        tell(f"  hashed VIN in, {answer['referenceId']} out; who asked and why is in the audit log already.")
        refusal = self.vinveil("lookup", "--purpose", "customer-service", "--as", "service-center", input=hashed, expect=4)
        tell("  The service centre tries the same and is refused: " + refusal.strip().splitlines()[-1])
        refusal = self.vinveil("lookup", "--purpose", "marketing", "--as", "crm", input=hashed, expect=4)
        tell("  The CRM tries it for marketing: " + refusal.strip().splitlines()[-1])

    # ---- on the road ----

    def latest(self, car):
        status, answer = self.api("crm", "GET", f"/v1/vehicles/{car}/signals/latest")
        check(status == 200, f"signals: {answer}")
        return {name.removeprefix("Vehicle."): signal["value"] for name, signal in answer["signals"].items()}

    def drive(self):
        chapter("4. Nineteen cars drive off: MQTT, each with its own certificate, each under its Reference ID alone.")
        self.drivers_log = open(self.directory / "drivers.log", "wb")
        self.drivers = subprocess.Popen(
            [BIN / "vinveil", "simulate", "--data", self.data, "--credentials", self.directory / "cars", "--vehicles", "19",
             "--rate", "5", "--json"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.drivers_log, text=True)
        car = self.cars[0]
        self.eventually("the first telemetry is stored", lambda: self.latest(car).get("Speed", 0) > 10, 60)
        tell(f"  What the CRM sees of {car}, live:")
        for _ in range(3):
            now = self.latest(car)
            tell(f"    {now['Speed']:5.1f} km/h   battery {now['Powertrain.TractionBattery.StateOfCharge.Current']:.1f} %   "
                 f"{now['CurrentLocation.Latitude']:.4f}, {now['CurrentLocation.Longitude']:.4f}   "
                 f"odometer {now['TraveledDistance']:,.1f} km")
            time.sleep(0.7)

    def command(self):
        chapter("5. The owner's app locks the car.")
        car, began = self.cars[0], time.monotonic()
        status, sent = self.api("crm", "POST", f"/v1/vehicles/{car}/commands", {"name": "lock", "timeoutSeconds": 30})
        check(status == 202, f"the command: {sent}")
        path = f"/v1/vehicles/{car}/commands/{sent['commandId']}"
        seen = []

        def progress():
            answer = self.api("crm", "GET", path)[1]
            if not seen or seen[-1][0] != answer["status"]:
                seen.append((answer["status"], (time.monotonic() - began) * 1000))
            return answer["status"] == "SUCCEEDED" and answer

        done = self.eventually("the car has obeyed", progress)
        tell("  " + ", ".join(f"{status} after {ms:.0f} ms" for status, ms in seen) + f"; the car says {json.dumps(done['result'])}")
        status, sent = self.api("crm", "POST", f"/v1/vehicles/{car}/commands",
                                {"name": "self-destruct", "timeoutSeconds": 30})
        path = f"/v1/vehicles/{car}/commands/{sent['commandId']}"
        refused = self.eventually("the car has refused", lambda: (answer := self.api("crm", "GET", path)[1])["status"]
                                  == "REJECTED" and answer)
        tell(f"  Another command it refuses: {refused['status']}, {refused['statusReason']['reasonDescription']}.")

    def revoked_serials(self):
        operations = json.loads((self.data / "dev.json").read_text())["operations"]
        crl = self.directory / "device.crl"
        done = subprocess.run(["curl", "-sS", "--fail", "-o", crl, f"{operations}/crl/device.crl"], capture_output=True)
        check(done.returncode == 0, f"the CRL: {done.stderr}")
        return self.openssl("crl", "-inform", "DER", "-in", str(crl), "-noout", "-text").upper()

    def change_tcu(self):
        chapter("6. A service centre replaces a telematics unit while the car is connected.")
        mqtt = json.loads((self.data / "dev.json").read_text())["mqtt"]
        car = self.first["referenceId"]
        old = self.keep(900001, self.first, (self.directory / "tcu.key").read_text())
        line = Line(mqtt, car, old)
        check(line.code == 0, "the old unit cannot connect")
        status, answer = self.api("service-center", "POST", "/v1/tcu-changes",
                                  {"hashedVin": hashlib.sha256(VINS[0].encode()).hexdigest(), "deviceId": "TCU-0001",
                                   "newDeviceId": "TCU-0030"})
        check(status == 200 and answer["referenceId"] == car and answer["deviceId"] == "TCU-0030", f"wrong vehicle: {answer}")
        cut_ms = line.milliseconds_from(self.answered_at)
        tell("  TCU-0001 out, TCU-0030 in, the Reference ID stays. The old unit's line was cut "
             + (f"{cut_ms:.1f} ms after" if cut_ms > 0 else f"{-cut_ms:.1f} ms before") + " the service centre had its answer.")
        check(Line(mqtt, car, old).code == 5, "the old unit connects again")
        serial = self.first["credentials"]["serialNumber"].replace(":", "").upper()
        self.eventually("the old certificate is on the CRL", lambda: serial in self.revoked_serials())
        tell(f"  It tries again and is refused; its certificate {serial[:16]}… is on the CRL.")
        again = self.vinveil("provision", "--device-id", "TCU-0030", "--as", "factory", "--json", input=VINS[0])
        check(again["referenceId"] == car and "credentials" in again, "the new unit has no credentials")
        new = Line(mqtt, car, self.keep(900002, again))
        check(new.code == 0, "the new unit cannot connect")
        new.close()
        tell("  The new unit provisions and connects, under the same Reference ID.")
        answer = self.vinveil("tcu", "delete", "--device-id", "TCU-0020", "--reference-id", self.last["referenceId"],
                              "--as", "service-center", "--json")
        check(answer["deviceId"] is None, "the device is still there")
        tell("  Another car goes to the workshop without one: device ID null.")
        tell("\n" + "".join(f"    {line}\n" for line in self.vinveil(
            "vehicle", "history", car, "--as", "service-center").splitlines()).rstrip())

    def park(self):
        self.drivers.send_signal(signal.SIGTERM)
        report = json.loads(self.drivers.communicate(timeout=60)[0])
        # What the one in the workshop had under way when it was cut stays with it.
        check(report["published"] - report["acknowledged"] <= UNDER_WAY_MAX and report["refused"] == 0,
              f"telemetry was lost: {report}")
        check(report["connected"] == 18, f"18 of 19 should still have been connected: {report}")
        tell(f"\n  The others drove on meanwhile: {report['acknowledged']} messages acknowledged "
             f"(p50 {report['p50us'] / 1000:.1f} ms, p99 {report['p99us'] / 1000:.1f} ms).")

    def reveal(self):
        chapter("7. A court asks for a VIN. Nobody can reveal one alone.")
        request = self.vinveil("reveal", "request", self.first["referenceId"], "--purpose", "legal-request", "--reason",
                               "order of the district court", "--ticket", "AZ-2026-17", "--as", "investigator", "--json")
        number = request["revealRequestId"]
        self.vinveil("reveal", "open", number, "--as", "investigator", expect=1)
        tell("  The investigator asks, tries to open at once, and is told to wait for a second person.")
        self.vinveil("reveal", "approve", number, "--as", "approver")
        answer = self.vinveil("reveal", "open", number, "--as", "investigator", "--json")
        check(answer["vin"] == VINS[0], "the wrong VIN came out")
        tell(f"  The approver approves; the VIN is opened, once: {answer['vin'][:3]}…{answer['vin'][-2:]} (it is the right one).")
        self.vinveil("reveal", "open", number, "--as", "investigator", expect=1)
        tell("  A second look at it: gone.")

    def is_signed_for(self):
        operations = json.loads((self.data / "dev.json").read_text())["operations"]
        with urllib.request.urlopen(f"{operations}/metrics", timeout=30) as answer:
            lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line.startswith("vinveil_audit"))
        return lines["vinveil_audit_log_checkpoint_size"] == lines["vinveil_audit_log_size"]

    def audit(self):
        chapter("8. The auditor proves who learned what.")
        tell("".join(f"    {line}\n" for line in self.vinveil(
            "audit", "tail", "--lines", "6", "--as", "auditor").splitlines()).rstrip())
        self.eventually("a checkpoint covers every entry", self.is_signed_for)
        verdict = self.vinveil("audit", "verify", "--json")
        check(verdict["verified"], "the log does not verify")
        tell(f"  Every one of {verdict['checkpointSize']} entries verified offline against the signed checkpoint.")

    def grep(self):
        chapter("9. And the VINs? Everything on disk is searched for them.")
        needles = []
        for vin in VINS[:20]:
            digest = hashlib.sha256(vin.encode()).digest()
            for form in (vin.encode(), digest):
                needles += [form, form.hex().encode(), form.hex().upper().encode(), base64.b64encode(form).rstrip(b"="),
                            form.decode("latin-1").encode("utf-16-le")]
        files = hits = size = 0
        places = [self.data, self.directory / "cars", self.directory / "platform.log", self.directory / "drivers.log"]
        for path in (p for place in places for p in ([place] if place.is_file() else place.rglob("*"))):
            if not path.is_file():
                continue
            content = path.read_bytes().rstrip(b"\0")  # spools are made larger than what is in them
            files, size = files + 1, size + len(content)
            for needle in needles:
                if needle in content:
                    hits += 1
                    tell(f"  FOUND in {path}")
        check(hits == 0, f"{hits} VINs found on disk")
        tell(f"  {files} files, {size / 1e6:.1f} MB, {len(needles)} forms of 20 VINs and their hashes: {hits} found.")


def what_next(story):
    chapter("The platform stays up. Try:")
    program = os.path.relpath(BIN / "vinveil")
    tell(f"""  {program} vehicle show {story.first['referenceId']} --data {story.data}
  {program} audit tail --data {story.data}
  {program} client list --data {story.data}
  {program} simulate --data {story.data} --vehicles 50 --rate 2 --seconds 10
  {program} --help
  curl --cacert {story.data}/ca/server-root.pem --cert {story.data}/clients/admin.pem \\
       --key {story.data}/clients/admin.key {json.loads((story.data / 'dev.json').read_text())['api']}/openapi.json
^C ends it and removes {story.directory}.""")
    try:
        story.platform.wait()
    except KeyboardInterrupt:
        tell("\nstopping …")


def main():
    directory = tempfile.mkdtemp(prefix="vinveil-demo-")
    story = Story(directory)
    try:
        chapter("0. An installation from nothing: three roots, a key daemon, a registry, an API, a broker.")
        story.start()
        story.manifest()
        story.provision()
        story.convert()
        story.drive()
        story.command()
        story.change_tcu()
        story.park()
        story.reveal()
        story.audit()
        story.grep()
        if not ONCE:
            what_next(story)
        story.stop()
        tell("\nThe VIN never left the vault.")
        return 0
    except DoesNotHold as reason:
        print(f"\nThis step does not hold: {reason}", file=sys.stderr)
        log = pathlib.Path(directory) / "platform.log"
        if log.exists():
            print(log.read_text()[-3000:], file=sys.stderr)
        return 1
    finally:
        story.stop()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
