"""A gateway on real parts: an old receiver or our nodes at the far end of its ports, and a listener at its broker."""

import contextlib
import json
import os
import queue
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aoii import settings
from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, AckStatus, Committed, Identity, ack_topic, encode_commit_ack
from aoii.core.forecast import HOLD
from aoii.core.frames import EVENT, Ack, Rejected, Uplink, decode_ack, encode_uplink
from aoii.core.stream import DOWNLINK, Frame, Reader, encode_usb_uplink
from aoii.gateway.gateway import Gateway
from aoii.runtime import metrics
from aoii.runtime.clock import Clock
from aoii.security import node_keys
from aoii.security.node_keys import NodeKey
from servers import until

KEY = bytes(range(16))
EPOCH = 2
NODE = 7
START_S = 1_760_000_000  # Unix time at which simulated clocks begin
KEYS = {NODE: NodeKey(EPOCH, KEY), 8: NodeKey(EPOCH, KEY[::-1])}


def configured(folder: Path, port: int, gateway_id: str, *serial: Path, **others: str) -> settings.Settings:
    """Settings of a gateway whose files lie in `folder`, with our nodes' keys."""
    empty = folder / "empty.env"
    folder.mkdir(parents=True, exist_ok=True)
    empty.touch()
    environ = {
        "AOII_DATA_DIR": str(folder),
        "GATEWAY_ID": gateway_id,
        "MQTT_BROKER": "127.0.0.1",
        "MQTT_PORT": str(port),
        "SERIAL_PORT": ",".join(map(str, serial)),
        "GATEWAY_STATUS_PORT": "0",
    }
    found = settings.load(environ | others, empty)
    if not found.gateway.node_keys_file.exists():
        node_keys.write_key_file(found.gateway.node_keys_file, KEYS)
    return found


@contextlib.contextmanager
def running(values: settings.Settings) -> Iterator[Gateway]:
    """A gateway in this process."""
    gateway = Gateway(values)
    try:
        gateway.start()
        yield gateway
    finally:
        gateway.stop()


class Listener:
    """The messages of one gateway at the broker, and the server's part: commit acknowledgements."""

    def __init__(self, values: settings.Settings) -> None:
        self._gateway_id = values.gateway.gateway_id
        self._got: queue.Queue[Message] = queue.Queue()
        self._came: set[tuple[object, ...]] = set()  # identities
        self.client = Client(
            values.mqtt,
            f"listener-{self._gateway_id}",
            subscriptions=[Subscription(READINGS_TOPIC, 1)],
            on_message=self._got.put,
        )

    def next(self, event: str = "RX", timeout_s: float = 30) -> dict[str, Any]:
        """The next message of this gateway with this event, with the QoS at which it came."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            message = self._got.get(timeout=max(0.01, deadline_s - time.monotonic()))
            fields: dict[str, Any] = json.loads(message.payload)
            if (fields["event"], fields["gateway"]) == (event, self._gateway_id):
                return fields | {"at_qos": message.qos}

    def readings(self, count: int, timeout_s: float = 30) -> list[dict[str, Any]]:
        """The next so many readings that have not come before, in the order in which they were accepted.

        Published they are in another order: of two that wait, the newer one first. And without a commit acknowledgement
        each comes again after five seconds.
        """
        found: list[dict[str, Any]] = []
        while len(found) < count:
            message = self.next(timeout_s=timeout_s)
            who = (message.get("node"), message.get("epoch"), message.get("counter"))
            if who not in self._came:
                self._came.add(who)
                found.append(message)
        return sorted(found, key=lambda message: int(message["total_tx"]))

    def silent_for(self, seconds: float, event: str = "RX") -> bool:
        """Whether nothing with this event comes for so long."""
        with contextlib.suppress(queue.Empty):
            self.next(event, seconds)
            return False
        return True

    def commit(self, *messages: dict[str, Any], status: AckStatus = "stored") -> None:
        """Say that the database has these."""
        self.acknowledge(
            *(
                Committed(Identity(message["node"], message["epoch"], message["counter"]), status)
                for message in messages
            )
        )

    def acknowledge(self, *items: Committed) -> None:
        """Send a commit acknowledgement."""
        assert self.client.publish(ack_topic(self._gateway_id), encode_commit_ack(list(items)), 1)


@contextlib.contextmanager
def listening(values: settings.Settings) -> Iterator[Listener]:
    """A listener, subscribed."""
    listener = Listener(values)
    listener.client.start()
    assert listener.client.wait_ready(30)
    try:
        yield listener
    finally:
        listener.client.stop()


def read_until(far: int, end: bytes, timeout_s: float) -> bytes:
    """Bytes from our end of a port up to `end`, or what came in time."""
    found = b""
    deadline_s = time.monotonic() + timeout_s
    while not found.endswith(end) and (left_s := deadline_s - time.monotonic()) > 0:
        if select.select([far], [], [], left_s)[0]:
            found += os.read(far, 4096)
    return found


def say(far: int, payload: str) -> None:
    """Print what the old receiver prints for `payload`."""
    os.write(far, f"Received: {payload}\n".encode())


def reply(far: int, timeout_s: float = 30) -> int | None:
    """The time reply on an old receiver's port, Unix seconds."""
    text = read_until(far, b"\n", timeout_s)
    return int(text) if text else None


class OwnNode:
    """A node of ours with its radio and receiver at the far end of a port."""

    def __init__(self, far: int, node: int = NODE, epoch: int = EPOCH, key: bytes = KEY) -> None:
        self.far = far
        self.node, self.epoch, self.key = node, epoch, key
        self._reader = Reader()

    def frame(self, frame: int, counter: int, temperature_c: int = 2150, **others: Any) -> bytes:
        """The bytes of a frame on the air."""
        fields = {
            "node": self.node, "epoch": self.epoch, "frame": frame, "counter": counter, "age_s": 0,
            "temperature_c": temperature_c, "humidity_c": 4000, "trend": HOLD, "flags": EVENT, "generation": 1,
            "battery": 0, "answers": 0,
        }  # fmt: skip
        return encode_uplink(Uplink(**(fields | others)), self.key)

    def transmit(self, data: bytes) -> None:
        """Send it to the gateway's receiver."""
        os.write(self.far, encode_usb_uplink(-90, 8, data))

    def ack(self, timeout_s: float = 30) -> Ack | None:
        """The next acknowledgement for this node."""
        deadline_s = time.monotonic() + timeout_s
        while (left_s := deadline_s - time.monotonic()) > 0:
            if not select.select([self.far], [], [], left_s)[0]:
                continue
            for item in self._reader.feed(os.read(self.far, 4096)):
                assert isinstance(item, Frame)
                assert item.type == DOWNLINK
                ack = decode_ack(item.content, self.node, self.epoch, self.key)
                assert not isinstance(ack, Rejected), ack
                return ack
        return None

    def send(self, frame: int, counter: int, temperature_c: int = 2150, **others: Any) -> Ack:
        """Transmit, and have it acknowledged."""
        self.transmit(self.frame(frame, counter, temperature_c, **others))
        ack = self.ack()
        assert ack is not None
        assert ack.frame == frame
        return ack


class Counts:
    """Counters of this process, as differences since it was made: other tests count too."""

    def __init__(self) -> None:
        self._before = self._now()

    @staticmethod
    def _now() -> dict[str, float]:
        found = {}
        for family in metrics.BY_STATION["gateway"].collect():
            for sample in family.samples:
                if sample.name.endswith("_total"):
                    labels = ",".join(sample.labels.values())
                    found[f"{sample.name.removesuffix('_total')}[{labels}]"] = sample.value
        return found

    def since(self, prefix: str) -> dict[str, int]:
        """What rose, by label values, of the counter `aoii_<prefix>`."""
        name = f"aoii_{prefix}["
        return {
            key.removeprefix(name).rstrip("]"): round(value - self._before.get(key, 0))
            for key, value in self._now().items()
            if key.startswith(name) and value > self._before.get(key, 0)
        }


def is_connected(gateway: Gateway) -> bool:
    """Ports open and broker there."""
    return gateway.readiness()["serial"] and gateway.readiness()["broker"]


def wait_connected(gateway: Gateway) -> None:
    until(lambda: is_connected(gateway), what="ports and broker")


class SteppedClock(Clock):
    """Its elapsed time, and the wall clock if it is simulated, stand still between calls of `go_on`."""

    at_ms = 10_000_000

    def elapsed_ms(self) -> int:
        return self.at_ms

    def unix_ms(self) -> int:
        return super().unix_ms() if self.start_unix_s is None else int(1000 * self.start_unix_s) + self.at_ms

    def go_on(self, seconds: int) -> None:
        object.__setattr__(self, "at_ms", self.at_ms + 1000 * seconds)  # the clocks of the stations are frozen values
