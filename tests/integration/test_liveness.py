"""Two gateways that hear one node, as processes, and whether metrics, MQTT, page and API say the same of it.

The clock is simulated and runs two hours in a minute. The node's end of each receiver is played here.
"""

import contextlib
import json
import secrets
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest

from aoii import settings
from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC
from aoii.broker.node_liveness import STATES
from aoii.broker.node_status import EVERY_NODE, topic_of
from aoii.security import node_keys
from aoii.server.db import open_database
from aoii.settings import Mqtt
from gateway.station import KEYS, NODE, START_S, OwnNode
from integration.test_witness import GatewayProcess
from servers import Mosquitto, pty_port, until
from web.recorded import minutes
from web.station import WebStation

HEARTBEAT_S = 600  # so it is late after 720 s and dead after 1,800 s, which takes 15 s
SPEED = 120
ATTIC, CELLAR = "attic", "cellar"
BOUND = {"temperature": 0.5, "humidity": 3.0}


@dataclass
class Field:
    """Two gateways and a page, and everything that is said of node 7."""

    gateways: dict[str, GatewayProcess]
    links: dict[str, Path]
    web: WebStation
    topics: dict[str, dict[str, Any]] = field(default_factory=dict)
    estimates: dict[str, dict[str, Any]] = field(default_factory=dict)  # by gateway

    def take(self, message: Message) -> None:
        """A message from the broker."""
        fields = json.loads(message.payload) if message.payload else {}
        if message.topic != READINGS_TOPIC:
            self.topics[message.topic] = fields
        elif fields["event"] == "EST":
            self.estimates[fields["gateway"]] = fields

    def metric(self, name: str) -> str:
        """The state in a gateway's metrics; empty while it is away."""
        gateway = self.gateways[name]
        if gateway.process is None:
            return ""
        return next(
            (one for one in STATES if gateway.count(f'aoii_node_liveness{{node="{NODE}",state="{one}"}}')), "none"
        )

    def page(self) -> dict[str, Any]:
        """What the page's API says of the node."""
        (node,) = httpx2.get(f"{self.web.url}/api/nodes", timeout=30).json()
        return dict(node["last_day"])

    def agrees(self, attic: str, cellar: str, page: str) -> bool:
        """Whether each says this of the node, everywhere."""
        for name, state in ((ATTIC, attic), (CELLAR, cellar)):
            said = self.topics.get(topic_of(name, str(NODE)), {})
            bound = BOUND if state in ("ok", "late") else None
            if (self.metric(name) or state, said.get("liveness"), said.get("error_bound")) != (state, state, bound):
                return False
            estimate = self.estimates.get(name) if self.gateways[name].process else None
            if estimate is not None and (estimate["liveness"], estimate["error_bound"]) != (state, bound):
                return False
        shown = self.page()
        if shown["source"] == "estimated" and shown["error_bound"] != (BOUND if page in ("ok", "late") else None):
            return False
        return (shown["liveness"], page in shown["states"]) == (page, True)

    def plug(self, name: str, target: Path) -> None:
        """Let a gateway's serial port be this one."""
        self.links[name].unlink()
        self.links[name].symlink_to(target)


@pytest.fixture
def two(tmp_path: Path, mosquitto: Mosquitto) -> Iterator[Field]:
    """Both gateways and the page, started, and nobody has heard the node yet."""
    namespace, keys = secrets.token_hex(4), tmp_path / "node_keys"
    node_keys.write_key_file(keys, {NODE: KEYS[NODE]})
    shared = {
        "MQTT_BROKER": "127.0.0.1", "MQTT_PORT": str(mosquitto.port), "MQTT_NAMESPACE": namespace,
        "NODE_KEYS_FILE": str(keys), "HEARTBEAT_S": str(HEARTBEAT_S), "HEARTBEAT_MIN_S": str(HEARTBEAT_S),
        "CLOCK_SPEED": str(SPEED), "CLOCK_START_UNIX_S": str(START_S), "CLOCK_ORIGIN_S": str(time.monotonic()),
    }  # fmt: skip
    with contextlib.ExitStack() as stack:
        gateways, links = {}, {}
        for name in (ATTIC, CELLAR):
            links[name] = tmp_path / f"receiver-{name}"
            far = stack.enter_context(pty_port(links[name]))
            environ = shared | {"GATEWAY_ID": name, "SERIAL_PORT": str(links[name])}
            gateways[name] = GatewayProcess(name, tmp_path / name, environ, far)
            stack.callback(gateways[name].kill)
        web = WebStation(tmp_path / "web", **shared)
        found = Field(gateways, links, web)
        listener = Client(
            Mqtt("127.0.0.1", mosquitto.port, None, None, namespace=namespace),
            "listener",
            subscriptions=[Subscription(READINGS_TOPIC, 0), Subscription(EVERY_NODE, 0, wants_kept=True)],
            on_message=found.take,
        )
        stack.callback(listener.stop)
        listener.start()
        assert listener.wait_ready(30)
        values = settings.load({name: str(value) for name, value in web.values.items()})
        with contextlib.closing(open_database(values.database, migrate=True)) as database:  # so the page lists it
            database.insert_readings([one.reading for one in minutes(str(NODE), count=1) if one.reading is not None])
        stack.enter_context(web)
        for gateway in gateways.values():
            gateway.start()
        yield found


def test_metrics_mqtt_and_page_say_the_same_of_a_node_at_any_time(two: Field) -> None:
    attic, cellar = (OwnNode(two.gateways[name].far) for name in (ATTIC, CELLAR))
    until(lambda: two.agrees("unknown", "unknown", "unknown"), what="nobody has heard it")

    attic.send(1, 1)
    cellar.send(1, 1)
    until(lambda: two.agrees("ok", "ok", "ok"), what="both have heard it")

    attic_port = two.links[ATTIC].readlink()
    two.plug(ATTIC, Path("/dev/null/absent"))
    until(lambda: two.metric(ATTIC) == "unknown", what="the attic's receiver is unplugged")
    until(lambda: two.agrees("unknown", "late", "late"), what="the node is silent for longer than it has promised")
    until(lambda: two.agrees("unknown", "dead", "dead"), what="the node is dead, and the attic hides nothing")

    two.plug(ATTIC, attic_port)
    until(lambda: two.metric(ATTIC) != "unknown", what="the attic's receiver is plugged in")
    assert two.page()["liveness"] == "dead"  # the attic did not listen meanwhile, and has heard nothing since
    attic.send(2, 2)
    until(lambda: two.agrees("ok", "dead", "ok"), what="the attic alone hears it again")
    assert two.page()["last_heard_ms"] == two.topics[topic_of(ATTIC, str(NODE))]["last_heard"]

    stopped = two.gateways[ATTIC].process
    assert stopped is not None
    stopped.send_signal(signal.SIGTERM)
    assert stopped.wait(30) == 0
    two.gateways[ATTIC].process = None
    until(lambda: two.agrees("unknown", "dead", "unknown"), what="the only one that heard it has stopped")
