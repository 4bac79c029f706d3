"""The nodes' silences on real parts: what a gateway serves, what outlives it, and files that cannot be used."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.core.frames import EVENT, SENSOR_FAULT
from aoii.gateway.drivers import liveness_file
from aoii.gateway.drivers.liveness_file import Remembered
from aoii.gateway.liveness import Heard
from aoii.runtime import metrics
from aoii.settings import Settings
from gateway.station import NODE, OwnNode
from gateway.station import running as gateway_running
from servers import until

FILE = "liveness.json"


@contextlib.contextmanager
def running(values: Settings) -> Iterator[None]:
    """A gateway in this process that listens."""
    with gateway_running(values) as gateway:
        until(lambda: gateway.readiness()["serial"], what="the port is open")
        yield


def state(node: int = NODE) -> str | None:
    """What the gateway in this process serves of a node."""
    samples = [sample for family in metrics.NODE_LIVENESS.collect() for sample in family.samples if sample.value]
    return next((str(one.labels["state"]) for one in samples if one.labels["node"] == str(node)), None)


def silence_s(node: int = NODE) -> float:
    return float(metrics.value(metrics.NODE_SILENCE_S.labels(node=str(node))))


def age(path: Path, node: int, seconds: int) -> None:
    """Have the receiver that heard a node last have listened for longer since."""
    content = json.loads(path.read_text())
    content["listened_ms"][content["heard"][str(node)][0]] += 1000 * seconds
    path.write_text(json.dumps(content))


def test_a_node_is_ok_when_it_is_heard_and_dead_after_two_heartbeats_over_a_restart(values: Settings, far: int) -> None:
    node, file = OwnNode(far), values.gateway.outbox_path.with_name(FILE)
    with running(values):
        node.send(1, 1)
        until(lambda: state() == "ok", what="the node is ok")
        until(lambda: state(8) == "unknown", what="a node that was never heard is unknown")
    heartbeat_s = json.loads(file.read_text())["heard"][str(NODE)][2]
    assert heartbeat_s == values.gateway.heartbeat_s

    age(file, NODE, heartbeat_s + 121)
    with running(values):
        until(lambda: state() == "late", what="the node is late")
        assert heartbeat_s < silence_s() < heartbeat_s + 600
    age(file, NODE, heartbeat_s)
    with running(values):
        until(lambda: state() == "dead", what="the node is dead")
        node.send(2, 2)
        until(lambda: state() == "ok", what="the node lives")


def test_a_sensor_that_did_not_measure_vouches_for_nothing_over_a_restart(values: Settings, far: int) -> None:
    node = OwnNode(far)
    with running(values):
        node.send(1, 1, flags=EVENT | SENSOR_FAULT)
        until(lambda: state() == "sensor_fault", what="the sensor is faulty")
    metrics.NODE_SENSOR_FAULT.remove_by_labels({"node": str(NODE)})

    with running(values):
        until(lambda: state() == "sensor_fault", what="the sensor is faulty still")
        assert metrics.value(metrics.NODE_SENSOR_FAULT.labels(node=str(NODE)))
        node.send(2, 2)
        until(lambda: state() == "ok", what="the sensor measures again")


def test_while_the_receiver_is_away_a_node_is_unknown_and_its_silence_stands(
    values: Settings, far: int, link: Path
) -> None:
    node = OwnNode(far)
    with running(values):
        node.send(1, 1)
        until(lambda: state() == "ok", what="the node is ok")
        target = link.readlink()
        link.unlink()
        link.symlink_to("/dev/null/absent")
        until(lambda: state() == "unknown", what="nobody listens")
        link.unlink()
        link.symlink_to(target)
        until(lambda: state() == "ok", what="somebody listens again")


def test_after_a_crash_who_was_not_dead_has_the_whole_deadline_again(values: Settings, far: int) -> None:
    node, file = OwnNode(far), values.gateway.outbox_path.with_name(FILE)
    with running(values):
        node.send(1, 1)
        until(lambda: state() == "ok", what="the node is ok")
    age(file, NODE, values.gateway.heartbeat_s + 121)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"complete": False}))

    with running(values):
        until(lambda: state() == "ok", what="the node has its whole deadline")
        assert silence_s() < 60


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[1]",
        '{"v":1,"complete":true,"listened_ms":{"a":-1},"heard":{}}',
        '{"v":1,"complete":true,"listened_ms":[],"heard":[]}',
        '{"v":2}',
        "\xff",
    ],
)
def test_a_file_that_cannot_be_used_is_as_none(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE).write_bytes(content.encode("latin-1"))

    assert liveness_file.read(tmp_path / FILE) == Remembered()
    assert "cannot be used" in caplog.text


def test_what_is_written_is_read(tmp_path: Path) -> None:
    heard = {
        "7": Heard("/dev/a", 5, 3600, (1, 2), 1_772_000_000_000, is_faulty=True),
        "attic/ttyUSB0": Heard("", 0, 0, ()),
    }
    remembered = Remembered(True, {"/dev/a": 10, "": 0}, heard)

    assert liveness_file.read(tmp_path / FILE) == Remembered()
    liveness_file.write(tmp_path / FILE, remembered)
    assert liveness_file.read(tmp_path / FILE) == remembered


def test_a_file_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"v":1,"complete":true,"listened_ms":{"a":10},"heard":{"7":["a",5,3600,1]}}')

    assert liveness_file.read(tmp_path / FILE) == Remembered(True, {"a": 10}, {"7": Heard("a", 5, 3600, (1,))})
