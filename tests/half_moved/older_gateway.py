"""The older installation's gateway, as far as its neighbours notice it; written from its contract.

It reads the receiver's lines, answers with the time, and publishes. Here its estimate is the last reading.
"""

import json
import os
import select
import threading
import time
import tty
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

TOPIC = "aoii/readings"
ZONE = timedelta(hours=-8)  # it computes times of day so, wherever it is
BETA_TEMP, BETA_HUM = 0.5, 3.0
POLL_S = 0.05


class OlderGateway:
    """The program, from `with` to its end.

    Args:
        port: Its serial port.
        broker_port: The broker's, on loopback.
    """

    def __init__(self, port: Path, broker_port: int) -> None:
        self._path = port
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._broker_port = broker_port
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="older-gateway", daemon=True)
        self._total = 0
        self._estimate = (20.0, 50.0)

    def __enter__(self) -> "OlderGateway":
        self._client.connect("127.0.0.1", self._broker_port)
        self._client.loop_start()
        self._port = os.open(self._path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._port)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        os.close(self._port)
        self._client.disconnect()
        self._client.loop_stop()

    def _run(self) -> None:
        self._publish({"event": "EST"}, 0)
        text = b""
        while not self._stopping.is_set():
            if select.select([self._port], [], [], POLL_S)[0]:
                text += os.read(self._port, 4096)
            while b"\n" in text:
                line, _, text = text.partition(b"\n")
                if b"Received: " in line:
                    self._accept(line.decode().split("Received: ")[1].strip())

    def _accept(self, payload: str) -> None:
        now_ms = time.time_ns() // 1_000_000
        *edge, temperature, humidity = payload.split(",")
        reading = float(temperature), float(humidity)
        if reading != (0.0, 0.0):
            self._total += 1
            errors = [abs(one - other) for one, other in zip(reading, self._estimate, strict=True)]
            rx: dict[str, Any] = {
                "event": "RX", "actual_t": reading[0], "actual_h": reading[1],
                "error_t": round(errors[0], 2), "error_h": round(errors[1], 2),
            }  # fmt: skip
            if edge:  # the node's clock modulo 2**32: the difference is 1.8e12
                rx["transmission_delay_ms"] = now_ms - int(edge[0])
            self._publish(rx, int(errors[0] >= BETA_TEMP or errors[1] >= BETA_HUM))
            self._estimate = reading
        os.write(self._port, f"{now_ms // 1000}\n".encode())

    def _publish(self, fields: dict[str, Any], qos: int) -> None:
        now = datetime.now(UTC) + ZONE
        second = 3600 * now.hour + 60 * now.minute + now.second
        usual = {
            "timestamp": f"{now:%Y-%m-%d %H:%M:%S}", "time_n": round(second / 86400, 4), "actual_t": None,
            "actual_h": None, "pred_t": self._estimate[0], "pred_h": self._estimate[1], "error_t": None,
            "error_h": None, "total_tx": self._total,
        }  # fmt: skip
        self._client.publish(TOPIC, json.dumps(usual | fields), qos)
