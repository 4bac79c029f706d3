"""What a gateway says of its nodes on their topics, at real brokers: Mosquitto and the embedded one."""

import json
import queue
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aoii.broker import embedded
from aoii.broker.client import Client, Message, Published, Subscription
from aoii.broker.node_liveness import ErrorBound
from aoii.broker.node_status import EVERY_NODE, topic_of
from aoii.gateway.status_publisher import STATUS, StatusPublisher
from aoii.runtime import metrics
from aoii.security import node_keys
from aoii.settings import Mqtt, Settings
from gateway.station import KEYS, NODE, Counts, Listener, OwnNode, configured, reply, running, say, wait_connected
from secure_broker import SecureBroker
from servers import Mosquitto, accepts, free_port, until


@pytest.fixture(scope="module", params=["mosquitto", "embedded"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A broker of each kind."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "mosquitto":
        with Mosquitto(folder) as server:
            yield server.port
        return
    found = free_port()
    with (folder / "log").open("wb") as log, embedded.start(found, folder, log) as process:
        until(lambda: accepts(found), what="the embedded broker")
        yield found
        assert process.stdin is not None
        process.stdin.close()


class Reader:
    """Somebody who subscribes to all nodes; `said` has the newest message of each, `kept` the topics that were kept."""

    def __init__(self, mqtt: Mqtt, name: str) -> None:
        self.said: dict[str, dict[str, Any]] = {}
        self.kept: set[str] = set()
        self.client = Client(
            mqtt, name, subscriptions=[Subscription(EVERY_NODE, 0, wants_kept=True)], on_message=self._take
        )

    def _take(self, message: Message) -> None:
        if message.is_kept:
            self.kept.add(message.topic)
        if message.payload:
            self.said[message.topic] = json.loads(message.payload)
        else:
            self.said.pop(message.topic, None)

    def liveness(self, topic: str) -> object:
        return self.said.get(topic, {}).get("liveness")

    def __enter__(self) -> "Reader":
        self.client.start()
        assert self.client.wait_ready(30)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.stop()


def test_each_node_has_a_topic_that_says_what_is_known_of_it_until_it_is_gone(
    tmp_path: Path, port: int, link: Path, far: int, name: str
) -> None:
    values = configured(tmp_path / "data", port, name, link)
    old = f"{name}/{str(link).lstrip('/')}"
    node, never, old_node = (topic_of(name, each) for each in (str(NODE), "8", old))
    with Reader(values.mqtt, f"reader-{name}") as reader:
        with running(values) as gateway:
            wait_connected(gateway)
            until(lambda: reader.liveness(node) == reader.liveness(never) == "unknown", what="nobody was heard")
            OwnNode(far).send(1, 1)
            say(far, "30.00,50.00")
            assert reply(far) is not None
            until(lambda: reader.liveness(node) == reader.liveness(old_node) == "ok", what="both were heard")
            assert reader.said[old_node]["node"] == old
            said = reader.said[node]
            assert said["error_bound"] == {"temperature": 0.5, "humidity": 3.0}
            assert (said["v"], said["gateway"], said["valid_s"]) == (1, name, 300)
            assert 0 <= said["unix_ms"] - said["last_heard"] < 60_000
            assert (said["silence_s"] < 60, said["deadline_s"]) == (True, 2 * values.gateway.heartbeat_s)

            node_keys.write_key_file(values.gateway.node_keys_file, {8: KEYS[8]})
            until(lambda: node not in reader.said, what="the retired node is gone")
            with Reader(values.mqtt, f"late-{name}") as late:
                until(lambda: old_node in late.said, what="a kept message")
                assert {old_node, never} <= late.kept
                assert node not in late.said
        until(lambda: reader.liveness(old_node) == "unknown", what="the gateway has stopped")
    assert reader.said[old_node]["error_bound"] is None
    assert reader.said[old_node]["last_heard"] is not None

    with Reader(values.mqtt, f"after-{name}") as after:
        until(lambda: old_node in after.said, what="what was kept")
        assert {after.liveness(topic) for topic in after.kept} >= {"unknown"}
        assert after.liveness(old_node) == "unknown"


def test_a_node_that_was_retired_while_the_gateway_was_off_is_gone_when_it_comes_back(
    tmp_path: Path, port: int, link: Path, far: int, name: str
) -> None:
    values = configured(tmp_path / "data", port, name, link)
    topic = topic_of(name, str(NODE))
    with Reader(values.mqtt, f"reader-{name}") as reader:
        with running(values) as gateway:
            wait_connected(gateway)
            OwnNode(far).send(1, 1)
            until(lambda: reader.liveness(topic) == "ok", what="the node was heard")
        until(lambda: reader.liveness(topic) == "unknown", what="the gateway has stopped")
        node_keys.write_key_file(values.gateway.node_keys_file, {8: KEYS[8]})

        with running(values):
            until(lambda: topic not in reader.said, what="the retired node is gone")


def test_a_broker_that_has_lost_everything_is_told_again(tmp_path: Path, link: Path, far: int, name: str) -> None:
    port = free_port()
    values = configured(tmp_path / "data", port, name, link)
    topic = topic_of(name, str(NODE))
    with running(values) as gateway:
        with Mosquitto(tmp_path / "first", port), Reader(values.mqtt, f"reader-{name}") as reader:
            wait_connected(gateway)
            OwnNode(far).send(1, 1)
            until(lambda: reader.liveness(topic) == "ok", what="the node was heard")
        with Mosquitto(tmp_path / "second", port), Reader(values.mqtt, f"again-{name}") as reader:
            until(lambda: reader.liveness(topic) == "ok", what="the other broker knows")


def test_what_the_broker_refuses_is_said_once_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counts = Counts()
    with SecureBroker(tmp_path / "broker") as broker:
        without = [line for line in broker.acl.read_text().splitlines() if "aoii/nodes" not in line]
        broker.allow("\n".join([*without, ""]))
        ended: queue.Queue[Published] = queue.Queue()
        client = Client(broker.reached_by("gateway"), "gateway", on_published=ended.put)
        client.start()
        try:
            assert client.wait_ready(30)
            statuses = StatusPublisher("gateway", client)
            statuses.publish_due({}, ["7", "8"])
            for _ in range(2):
                published = ended.get(timeout=15)
                assert published.token is STATUS
                statuses.record_end(published)
        finally:
            client.stop()

    said = [record for record in caplog.records if getattr(record, "event", "") == "status_refused"]
    assert len(said) == 1
    assert "let this gateway's user write aoii/nodes/gateway/+" in str(vars(said[0]))
    assert counts.since("node_status_messages") == {"refused": 2}


def test_estimates_and_readings_say_where_a_value_comes_from(
    values: Settings, link: Path, far: int, listener: Listener
) -> None:
    node = OwnNode(far)
    with running(values) as gateway:
        wait_connected(gateway)
        node.send(1, 1)
        reading = listener.next()
        until(lambda: metrics.value(metrics.NODE_LIVENESS.labels(node=str(NODE), state="ok")), what="it is ok")
        (estimate,) = gateway.intake.estimates(gateway._vouched_for)

    assert (reading["source"], reading["is_historical"]) == ("measured", False)
    assert reading["error_bound"] == {"temperature": 0, "humidity": 0}
    assert reading["last_heard"] == reading["event_unix_ms"]
    assert (estimate.liveness, estimate.error_bound) == ("ok", ErrorBound(0.5, 3.0))
    assert estimate.last_heard_ms is not None
    assert estimate.last_heard_ms >= reading["last_heard"]
