"""A vehicle as the system tests see one: paho, mutual TLS, credentials as provisioning gave them."""
import functools
import json
import queue
import socket
import ssl
import threading
import time

import paho.mqtt.client as paho

TIMEOUT = 30


def write_credentials(directory, name, answer):
    """(certificate path, key path) of a provisioning answer's credentials; the chain is the broker's to know."""
    credentials = answer.json["credentials"]
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    certificate.write_text(credentials["certificate"])
    key.write_text(credentials["privateKey"])
    key.chmod(0o600)
    return certificate, key


class Mqtt:
    """One connection. Connects once (paho would try again for ever), unless it is told to come back."""

    def __init__(self, platform, client_id, certificate=None, key=None, *, port=None, transport="tcp", protocol=5,
                 clean=True, comes_back=False, will=None, user=None, alpn=None):
        self.platform, self.client_id, self.comes_back = platform, client_id, comes_back
        version = paho.MQTTv5 if protocol == 5 else paho.MQTTv311
        clean = {} if protocol == 5 else {"clean_session": clean}
        self.paho = paho.Client(client_id, transport=transport, protocol=version, **clean)
        context = ssl.create_default_context(cafile=platform.info["mqtt"]["caCertificate"])
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        if alpn:
            context.set_alpn_protocols([alpn])
        self.paho.tls_set_context(context)
        if user:
            self.paho.username_pw_set(user)
        if will:
            self.paho.will_set(*will)
        self.paho.reconnect_delay_set(1, 1)
        names = {"websockets": "portWebSockets", "tcp": "port"}
        self.port = port or platform.info["mqtt"][names[transport]]
        self.protocol = protocol
        self.codes, self.messages = queue.Queue(), queue.Queue()
        self.acknowledged, self.subscribed = {}, queue.Queue()
        self.closed = threading.Event()
        self.closed_at = None
        self.changed = threading.Condition()
        self.paho._thread_main = functools.partial(self._run, self.paho._thread_main)
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = self._on_disconnect
        self.paho.on_message = lambda client, data, message: self.messages.put(message)
        self.paho.on_publish = self._on_publish
        self.paho.on_subscribe = lambda client, data, mid, codes, *rest: self.subscribed.put(
            [getattr(code, "value", code) for code in codes])

    # ---- callbacks, on paho's thread ----

    def _on_connect(self, client, data, flags, code, *rest):
        self.closed.clear()
        self.codes.put(getattr(code, "value", code))

    def _on_disconnect(self, client, data, code, *rest):
        self.closed_at = time.monotonic()
        self.closed.set()
        if not self.comes_back:
            # Not from within a callback: paho joins its own thread.
            client.disconnect()

    def _on_publish(self, client, data, mid, *rest):
        with self.changed:
            self.acknowledged[mid] = time.monotonic()
            self.changed.notify_all()

    # ---- what tests do ----

    def connect(self, expect=0):
        """The CONNACK's code; "refused" when there was none (TLS alert, closed)."""
        try:
            keywords = {"clean_start": True} if self.protocol == 5 else {}
            self.paho.connect(self.platform.info["mqtt"]["host"], self.port, keepalive=60, **keywords)
        except (OSError, ssl.SSLError, ValueError):
            code = "refused"
        else:
            self.paho.loop_start()
            code = self._first_code()
        if expect is not None:
            assert code == expect, f"{self.client_id}: CONNACK {code}, not {expect}"
        return code

    def _run(self, paho_thread):
        try:
            paho_thread()
        except OSError:  # a TLS 1.3 server refuses a certificate by an alert after the handshake; paho lets that through
            self.closed_at = time.monotonic()
            self.closed.set()

    def _first_code(self):
        until = time.monotonic() + TIMEOUT
        while time.monotonic() < until:
            try:
                return self.codes.get(timeout=0.02)
            except queue.Empty:
                if self.closed.is_set() and self.codes.empty():
                    return "refused"
        return "nothing"

    def subscribe(self, *filters, qos=1):
        """The SUBACK's codes, in order; 128 and above is a refusal."""
        self.paho.subscribe([(name, qos) for name in filters] if self.protocol != 5 else
                            [(name, paho.SubscribeOptions(qos=qos)) for name in filters])
        return self.subscribed.get(timeout=TIMEOUT)

    def publish(self, topic, payload, qos=1, retain=False):
        """Sends; returns the message ID for wait_acknowledged()."""
        if not isinstance(payload, (bytes, str)):
            payload = json.dumps(payload)
        return self.paho.publish(topic, payload, qos, retain).mid

    def wait_acknowledged(self, mid, timeout=TIMEOUT):
        with self.changed:
            return self.changed.wait_for(lambda: mid in self.acknowledged, timeout)

    def publish_and_wait(self, topic, payload, **options):
        mid = self.publish(topic, payload, **options)
        assert self.wait_acknowledged(mid), f"{self.client_id}: no PUBACK for {topic}"

    def send_signals(self, signals, timestamp=None):
        message = {"signals": signals}
        if timestamp is not None:
            message["timestamp"] = timestamp
        self.publish_and_wait(f"vehicles/{self.client_id}/signals", message)

    def receive(self, timeout=TIMEOUT):
        """(topic, payload) of the next message; None when none came in time."""
        try:
            message = self.messages.get(timeout=timeout)
        except queue.Empty:
            return None
        return message.topic, message.payload

    def wait_closed(self, timeout=TIMEOUT):
        """When the connection ended (monotonic seconds); None when it did not in time."""
        return self.closed_at if self.closed.wait(timeout) else None

    def close(self):
        if self.paho is None:
            return
        self.comes_back = False
        try:
            self.paho.disconnect()
        except OSError:  # the broker was first, or paho's thread is amid a write
            pass
        self.paho.loop_stop()
        # It holds descriptors until it is collected, and its callbacks hold it; select() knows only the first 1,024.
        for callback in ("on_connect", "on_disconnect", "on_message", "on_publish", "on_subscribe"):
            setattr(self.paho, callback, None)
        self.paho = None


class Publisher:
    """MQTT 3.1.1 by hand, QoS 1, one message at a time: what was not acknowledged is sent again over a new connection,
    for as long as it takes. So it is certain what a vehicle saw acknowledged."""

    def __init__(self, vehicle):
        self.vehicle, self.connection, self.number = vehicle, None, 0
        info = vehicle.platform.info["mqtt"]
        self.address = (info["host"], info["port"])
        self.context = ssl.create_default_context(cafile=info["caCertificate"])
        self.context.load_cert_chain(vehicle.certificate, vehicle.key)

    @staticmethod
    def packet(kind, body):
        length, size = bytearray(), len(body)
        while True:
            size, digit = divmod(size, 128)
            length.append(digit | (0x80 if size else 0))
            if not size:
                return bytes([kind]) + bytes(length) + body

    @staticmethod
    def text(value):
        return len(value).to_bytes(2, "big") + value.encode()

    def exchange(self, packet, kind, size):
        """Sends, and returns the answer, which must be of that kind and size."""
        self.connection.sendall(packet)
        answer = b""
        while len(answer) < size:
            more = self.connection.recv(size - len(answer))
            if not more:
                raise ConnectionError("closed")
            answer += more
        if answer[0] != kind:
            raise ConnectionError(f"not the answer: {answer!r}")
        return answer

    def connect(self):
        plain = socket.create_connection(self.address, timeout=5)
        self.connection = self.context.wrap_socket(plain, server_hostname=self.address[0])
        body = self.text("MQTT") + bytes([4, 2, 0, 60]) + self.text(self.vehicle.id)
        if self.exchange(self.packet(0x10, body), 0x20, 4)[3] != 0:
            raise ConnectionError("refused")

    def publish(self, topic, payload, patience=60):
        """Returns when it is acknowledged."""
        self.number = self.number % 65535 + 1
        identifier = self.number.to_bytes(2, "big")
        body = self.text(topic) + identifier + json.dumps(payload).encode()
        until, again = time.monotonic() + patience, 0
        while True:
            try:
                if self.connection is None:
                    self.connect()
                if self.exchange(self.packet(0x32 | again, body), 0x40, 4)[2:] == identifier:
                    return
                raise ConnectionError("another's acknowledgement")
            except OSError:
                self.close()
                again = 8
                assert time.monotonic() < until, f"{self.vehicle.id}: never acknowledged"
                time.sleep(0.02)

    def close(self):
        if self.connection is not None:
            self.connection.close()
        self.connection = None


class Deaf(Publisher):
    """MQTT 5 by hand: it lets the broker send as much as there may be, reads none of it and acknowledges nothing."""

    def connect(self):
        plain = socket.create_connection(self.address, timeout=5)
        self.connection = self.context.wrap_socket(plain, server_hostname=self.address[0])
        receive_maximum = bytes([3, 0x21, 0xff, 0xff])
        self.connection.sendall(self.packet(0x10, self.text("MQTT") + bytes([5, 2, 0, 60]) + receive_maximum +
                                            self.text(self.vehicle.id)))
        if self.connection.recv(100)[:1] != b"\x20":
            raise ConnectionError("refused")

    @classmethod
    def subscription(cls, topic, qos=1):
        return cls.packet(0x82, bytes([0, 1, 0]) + cls.text(topic) + bytes([qos]))

    @classmethod
    def unsubscription(cls, topic):
        return cls.packet(0xa2, bytes([0, 1, 0]) + cls.text(topic))

    def is_cut_off(self):
        """Reads on until there is nothing more to come; False when there might be."""
        self.connection.settimeout(30)
        try:
            while self.connection.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        return True

    def subscribe(self, topic, qos=1):
        self.connection.sendall(self.subscription(topic, qos))
        if self.connection.recv(100)[-1] != qos:
            raise ConnectionError("not subscribed")

    @classmethod
    def message(cls, topic, payload=b"", qos=1, properties=b""):
        head = cls.text(topic) + (bytes([0, 1]) if qos else b"")
        return cls.packet(0x30 | qos << 1, head + cls.packet(0, properties)[1:] + payload)

    @classmethod
    def user_property(cls, name, value):
        return bytes([0x26]) + cls.text(name) + cls.text(value)


class Vehicle:
    """A vehicle that was provisioned over the API with a key made for it."""

    def __init__(self, platform, directory, vin, device_id):
        self.platform, self.directory, self.vin, self.device_id = platform, directory, vin, device_id
        self.open = []
        self.provision()

    def provision(self):
        answer = self.platform.provision(self.vin, self.device_id)
        assert answer.status in (200, 201) and "credentials" in answer.json, answer
        self.id = answer.json["referenceId"]
        self.serial = answer.json["credentials"]["serialNumber"]
        self.certificate, self.key = write_credentials(self.directory, f"{self.id}-{self.device_id}", answer)

    def connection(self, client_id=None, **options):
        made = Mqtt(self.platform, client_id or self.id, self.certificate, self.key, **options)
        self.open.append(made)
        return made

    def connect(self, expect=0, **options):
        made = self.connection(**options)
        made.connect(expect)
        return made

    def commands_filter(self):
        return f"$aws/commands/things/{self.id}/executions/+/request/json"

    def answer_command(self, connection, topic, status, **members):
        connection.publish_and_wait(topic.replace("/request/json", "/response/json"), {"status": status, **members})

    def close(self):
        for connection in self.open:
            connection.close()
        self.open.clear()
