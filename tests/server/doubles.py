"""Stand-ins for the server's neighbours that behave: a gateway that publishes again, and a station as a process."""

import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from aoii import settings
from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, Identity, Reading, ack_topic, decode_commit_ack, encode_reading
from aoii.server.mqtt_to_mysql import Server
from aoii.settings import Mqtt
from servers import free_port, until

REPUBLISH_S = 0.5


class Gateway:
    """Publishes readings until their commit acknowledgement comes, and remembers every status."""

    def __init__(self, mqtt: Mqtt, name: str = "gateway") -> None:
        self.statuses: dict[Identity, list[str]] = {}
        self._pending: dict[Identity, Reading] = {}
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._client = Client(
            mqtt,
            f"test-{name}",
            subscriptions=[Subscription(ack_topic(name), 1)],
            on_message=self._acknowledged,
        )
        self._thread = threading.Thread(target=self._keep_publishing)

    def __enter__(self) -> "Gateway":
        self._client.start()
        assert self._client.wait_ready(30)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        self._client.stop()

    def publish(self, readings: Iterable[Reading], qos: int = 1) -> None:
        for reading in readings:
            assert reading.identity is not None
            with self._lock:
                self._pending[reading.identity] = reading
            self._client.publish(READINGS_TOPIC, encode_reading(reading, qos), qos)

    def publish_once(self, payload: bytes, qos: int = 1) -> None:
        assert self._client.publish(READINGS_TOPIC, payload, qos)

    def all_acknowledged(self) -> bool:
        return not self._pending

    def status(self, reading: Reading) -> str | None:
        """The first status that came for a reading."""
        assert reading.identity is not None
        return next(iter(self.statuses.get(reading.identity, [])), None)

    def _acknowledged(self, message: Message) -> None:
        for item in decode_commit_ack(message.payload):
            with self._lock:
                self._pending.pop(item.identity, None)
                self.statuses.setdefault(item.identity, []).append(item.status)

    def _keep_publishing(self) -> None:
        while not self._ending.wait(REPUBLISH_S):
            with self._lock:
                pending = list(self._pending.values())[:500]
            for reading in pending:
                self._client.publish(READINGS_TOPIC, encode_reading(reading, 1), 1)


@contextmanager
def running(values: settings.Settings, wait_for: Sequence[str] = ("broker", "database")) -> Iterator[Server]:
    """The server inside this process, when it is ready as far as the test needs it."""
    server = Server(values)
    server.start()
    try:
        until(lambda: all(server.readiness()[name] for name in wait_for), what="server ready")
        yield server
    finally:
        server.stop()
    assert "ingest" in server.ended(), "it stopped in a batch"


STATUS_PORTS = {
    "mqtt_to_mysql": "SERVER_STATUS_PORT",
    "mqtt_to_csv": "CSV_STATUS_PORT",
    "edge_log": "EDGE_LOG_STATUS_PORT",
}


class StationProcess:
    """A station as a process of its own, configured by environment only; `station` is its module."""

    def __init__(self, station: str, environ: Mapping[str, str], log: Path, status_port: int | None = None) -> None:
        self.status_port = status_port or free_port()
        self.environ = {"PATH": os.environ["PATH"], **environ, STATUS_PORTS[station]: str(self.status_port)}
        self._station = station
        self._log = log
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = (
            "import sys; from aoii import settings; "
            f"from aoii.runtime import logs; from aoii.server import {self._station} as station; "
            "values = settings.load(); logs.configure('server', values.logs.level, as_json=values.logs.json); "
            "sys.exit(station.run(values))"
        )
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", command], env=self.environ, cwd=self._log.parent, stdout=output, stderr=output
            )

    def is_ready(self) -> bool:
        return self.answer("/readyz") == 200

    def answer(self, path: str) -> int | None:
        """HTTP status of the status page; None if nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.status_port}{path}", timeout=20) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def terminate(self) -> tuple[int, float]:
        """SIGTERM; exit code and seconds that it took."""
        assert self.process is not None
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20), time.monotonic() - begin
