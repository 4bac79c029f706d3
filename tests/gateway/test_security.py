"""A gateway at a broker with the shipped configuration: what is refused is counted, and no reading is lost by it."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from aoii.broker.messages import READINGS_TOPIC, ack_topic
from aoii.runtime import metrics
from aoii.settings import Mqtt, Settings
from gateway.station import Counts, OwnNode, configured, listening, running, wait_connected
from secure_broker import PASSWORD, SecureBroker
from servers import pty_port, until


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureBroker]:
    with SecureBroker(tmp_path_factory.mktemp("secure")) as server:
        yield server


@pytest.fixture
def far(tmp_path: Path) -> Iterator[int]:
    with pty_port(tmp_path / "receiver") as far:
        yield far


def gateway_at(mqtt: Mqtt, folder: Path) -> Settings:
    """Settings of a gateway called `gateway`, as the shipped ACL calls it."""
    return replace(configured(folder / "data", mqtt.port, "gateway", folder / "receiver"), mqtt=mqtt)


def test_a_gateway_that_may_write_gets_its_acknowledgement_and_forgets(
    broker: SecureBroker, tmp_path: Path, far: int
) -> None:
    values = gateway_at(broker.reached_by("gateway"), tmp_path)
    counts = Counts()

    with listening(replace(values, mqtt=broker.reached_by("server"))) as server, running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(1, 1)
        server.commit(server.next())

        until(lambda: counts.since("commit_acks").get("stored") == 1, what="the commit acknowledgement")
        ends = {
            whose: metrics.value(metrics.CERTIFICATE_EXPIRY, peer="broker", certificate=whose)
            for whose in ("authority", "ours", "theirs")
        }

    assert not any(math.isnan(end) for end in ends.values())


def test_a_refused_publish_is_counted_and_the_reading_stays(broker: SecureBroker, tmp_path: Path, far: int) -> None:
    counts = Counts()
    values = gateway_at(broker.reached_by("web"), tmp_path)  # a reader's certificate

    with running(values) as gateway:
        wait_connected(gateway)
        OwnNode(far).send(1, 1)

        until(lambda: any("refused" in key for key in counts.since("gateway_publishes")), what="a refused publish")
        until(lambda: metrics.value(metrics.OUTBOX_EVENTS) == 1, what="the reading in the outbox")


@pytest.mark.parametrize(("password", "reason"), [(PASSWORD + "r", "login"), (None, "login")])
def test_a_gateway_that_is_not_let_in_counts_it_and_accepts_readings(
    broker: SecureBroker, tmp_path: Path, far: int, password: str | None, reason: str
) -> None:
    counts = Counts()
    reached = broker.reached_with_password("gateway" if password else None, password)

    with running(gateway_at(reached, tmp_path)) as gateway:
        until(lambda: gateway.readiness()["serial"], what="the port")
        OwnNode(far).send(1, 1)

        until(lambda: reason in counts.since("broker_refusals"), what="a refusal")
        assert not gateway.readiness()["broker"]


def test_the_topics_of_the_shipped_acl_are_the_ones_that_we_use(broker: SecureBroker) -> None:
    acl = broker.acl.read_text()

    assert f"topic write {READINGS_TOPIC}" in acl
    assert f"pattern read {ack_topic('%u')}" in acl
