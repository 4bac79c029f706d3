"""The older installation's subscriber, as far as its neighbours notice it; written from its contract.

It subscribes with QoS 0 and a clean session, acknowledges nothing, and inserts each RX twice: without the delay, and
with it. A delay that the column cannot hold makes the second insert fail.
"""

import contextlib
import json
import threading
from datetime import datetime
from typing import Any

import paho.mqtt.client as paho
import pymysql
from paho.mqtt.enums import CallbackAPIVersion

from servers import MariaDB, until

MEASURED = ("actual_temp", "actual_humidity", "pred_temp", "pred_humidity", "error_temp", "error_humidity")
TABLE = (
    "CREATE TABLE IF NOT EXISTS readings (id INT AUTO_INCREMENT PRIMARY KEY, created_at DATETIME(6) NOT NULL, "
    + ", ".join(f"{name} DOUBLE NOT NULL" for name in MEASURED)
    + ", transmission_delay_ms INT NULL, INDEX idx_created_at (created_at)) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4"
)
INSERT = (
    f"INSERT INTO readings (created_at, {', '.join(MEASURED)}, transmission_delay_ms) "  # noqa: S608 - constants
    f"VALUES ({', '.join(['%s'] * 8)})"
)


class OlderSubscriber:
    """The program, from `with` to its end; its table is made if it is missing.

    Args:
        database: The database server.
        schema: Where its table is.
        broker_port: The broker's, on loopback.
    """

    def __init__(self, database: MariaDB, schema: str, broker_port: int) -> None:
        self._server = {"host": "127.0.0.1", "port": database.port, "user": "root", "database": schema}
        self._broker_port = broker_port
        self._subscribed = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("aoii/readings")
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda client, data, message: self._take(json.loads(message.payload))

    def __enter__(self) -> "OlderSubscriber":
        with pymysql.connect(**self._server) as connection, connection.cursor() as cursor:  # type: ignore[call-overload]
            cursor.execute(TABLE)
        self._client.connect("127.0.0.1", self._broker_port)
        self._client.loop_start()
        until(self._subscribed.is_set, what="the older subscriber has subscribed")
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _take(self, message: dict[str, Any]) -> None:
        if message["event"] != "RX":
            return
        actual, believed = (message["actual_t"], message["actual_h"]), (message["pred_t"], message["pred_h"])
        errors = [one - other for one, other in zip(actual, believed, strict=True)]
        delay = message.get("transmission_delay_ms")
        for column in (None, delay):
            with contextlib.suppress(pymysql.err.DataError):  # 1264: out of range
                self._insert((datetime.now(), *actual, *believed, *errors, column))  # noqa: DTZ005 - local, as its rows

    def _insert(self, values: tuple[object, ...]) -> None:
        with pymysql.connect(**self._server) as connection, connection.cursor() as cursor:  # type: ignore[call-overload]
            cursor.execute(INSERT, values)
            connection.commit()
