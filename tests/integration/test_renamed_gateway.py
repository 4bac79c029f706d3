"""A gateway whose GATEWAY_ID was changed while readings wait in its outbox, with a real broker and our server."""

import contextlib
from dataclasses import replace
from functools import partial
from pathlib import Path

from aoii.broker.messages import encode_reading
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.gateway import Gateway
from aoii.gateway.outbox import WINDOW
from aoii.settings import Settings
from gateway.station import OwnNode, configured, running, wait_connected
from server import doubles
from server.samples import a_reading
from servers import Mosquitto, until

SOME = 20


def accept(values: Settings, count: int, gateway: str) -> None:
    """Put readings into the outbox as a gateway of this name has accepted them."""
    with contextlib.closing(OutboxFile(values.gateway.outbox_path, 1 << 24)) as outbox:
        for counter in range(1, count + 1):
            reading = replace(a_reading(counter), gateway=gateway)
            assert reading.identity is not None
            work = partial(
                Transaction.insert,
                who=reading.identity,
                digest=reading.digest(),
                qos=1,
                payload=encode_reading(reading, 1),
                now_ms=0,
            )
            outbox.submit(work)


def waiting(gateway: Gateway) -> int:
    return gateway._outbox_file.events


def test_the_readings_of_a_former_name_are_acknowledged(tmp_path: Path, link: Path, far: int) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        values = configured(tmp_path / "data", broker.port, "new", link)
        accept(values, WINDOW + SOME, "old")
        with doubles.running(values), running(values) as gateway:
            wait_connected(gateway)
            OwnNode(far).send(1, 1)

            until(lambda: waiting(gateway) == 0, 60, "an empty outbox")


def test_readings_that_nobody_acknowledges_keep_no_live_reading_from_the_server(
    tmp_path: Path, link: Path, far: int
) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic readwrite aoii/readings\ntopic write aoii/ack/#\ntopic read aoii/ack/new\n")
    acl.chmod(0o600)
    with Mosquitto(tmp_path / "broker", extra=f"acl_file {acl}") as broker:
        values = configured(tmp_path / "data", broker.port, "new", link)
        accept(values, WINDOW + SOME, "old")
        with doubles.running(values), running(values) as gateway:
            wait_connected(gateway)
            node = OwnNode(far)
            for number in range(1, 6):
                node.send(number, number)
                until(lambda: waiting(gateway) == WINDOW + SOME, 60, "the acknowledgement of a live reading")


def test_readings_wait_through_a_change_of_namespace_and_need_no_former_name(
    tmp_path: Path, link: Path, far: int
) -> None:
    with Mosquitto(tmp_path / "broker") as broker:
        before = configured(tmp_path / "data", broker.port, "cellar", link, MQTT_NAMESPACE="before")
        with running(before) as gateway:
            wait_connected(gateway)
            OwnNode(far).send(1, 1)
            until(lambda: waiting(gateway) == 1)
        after = configured(tmp_path / "data", broker.port, "cellar", link, MQTT_NAMESPACE="after")
        with doubles.running(after), running(after) as gateway:
            until(lambda: waiting(gateway) == 0, 60, "an empty outbox")
            assert gateway.publisher._former.names == ()
