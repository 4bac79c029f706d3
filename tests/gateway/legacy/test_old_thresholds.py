"""Old nodes whose firmware has other thresholds than the gateway's own nodes."""

import contextlib
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from aoii.broker.messages import Identity
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.gateway import Gateway
from aoii.gateway.intake import Intake
from aoii.gateway.legacy.old_node import Payload
from aoii.gateway.node_metrics import NodeMetrics
from aoii.gateway.readings import AcceptedReading
from aoii.runtime import metrics
from aoii.settings.faults import SettingsError
from gateway.station import configured

FINE, COARSE, PLAIN = "gateway/ttyUSB0", "gateway/ttyUSB1", "gateway/ttyUSB2"
OWN = {"OLD_NODE_THRESHOLDS": f"{FINE}=0.3/2,{COARSE}=0.7/4"}


def qos(intake: Intake, node: str, temperature: float) -> int:
    ended: Future[Any] = Future()
    payload = Payload(temperature, 40.0, None)
    intake.submit_line(node, payload, intake.now(), lambda future: ended.set_result(future.result()))
    found: int = ended.result(20)[1].qos
    return found


@pytest.mark.parametrize(
    ("node", "change", "expected"),
    [(FINE, 0.29, 0), (FINE, 0.3, 1), (PLAIN, 0.49, 0), (PLAIN, 0.5, 1), (COARSE, 0.69, 0), (COARSE, 0.7, 1)],
)
def test_the_quality_of_service_follows_the_thresholds_of_the_node(
    tmp_path: Path, node: str, change: float, expected: int
) -> None:
    values = configured(tmp_path, 1883, "gateway", tmp_path / "absent", **OWN)
    with contextlib.closing(OutboxFile(values.gateway.outbox_path, 1 << 24)) as file:
        intake = Intake(values.gateway, values.clock, None, file, lambda _: None, lambda _: True)
        qos(intake, node, 20.0)

        found = qos(intake, node, 20.0 + change)

    assert found == expected
    assert metrics.value(metrics.NODE_THRESHOLD_T, node=node) == {FINE: 0.3, COARSE: 0.7, PLAIN: 0.5}[node]
    assert metrics.value(metrics.NODE_THRESHOLD_H, node=node) == {FINE: 2, COARSE: 4, PLAIN: 3}[node]


@pytest.mark.parametrize(
    ("node", "error", "age_s"), [(FINE, 0.4, 9), (PLAIN, 0.4, 0), (PLAIN, 0.6, 9), (COARSE, 0.6, 0)]
)
def test_the_age_of_incorrect_information_follows_the_thresholds_of_the_node(
    tmp_path: Path, node: str, error: float, age_s: float
) -> None:
    known = NodeMetrics(configured(tmp_path, 1883, "gateway", tmp_path / "absent", **OWN).gateway)
    who, estimate = Identity(node, 1, 0), (20.0, 40.0)

    known.record_reading(AcceptedReading(who, "legacy", 20.0 + error, 40.0, estimate, 0, True, held_ms=9000))

    assert metrics.value(metrics.NODE_AOII_S, node=node) == age_s


def test_a_name_without_a_port_is_an_error_that_names_the_ports(tmp_path: Path) -> None:
    values = configured(tmp_path, 1883, "gateway", Path("/dev/ttyUSB0"), OLD_NODE_THRESHOLDS="gateway/ttyUSB9=0.3/2")

    with pytest.raises(SettingsError, match="names gateway/ttyUSB9, which has no port; use one of gateway/ttyUSB0"):
        Gateway(values)


def test_a_node_of_another_gateway_may_stand_there(tmp_path: Path) -> None:
    values = configured(tmp_path, 1883, "gateway", Path("/dev/ttyUSB0"), OLD_NODE_THRESHOLDS="roof/ttyUSB9=0.3/2")

    Gateway(values).stop()
    known = NodeMetrics(values.gateway)
    assert known.thresholds("roof/ttyUSB9") == (0.3, 2.0)
    assert known.thresholds("gateway/ttyUSB0") == (0.5, 3.0)


@pytest.mark.parametrize("given", ["ttyUSB0", "a=0.3", "a=0.3/x", "a=0/2", "a=0.3/101", "a=0_1/2", "a=0.3/2,a=0.7/4"])
def test_anything_else_is_an_error_with_an_example(tmp_path: Path, given: str) -> None:
    with pytest.raises(SettingsError, match="OLD_NODE_THRESHOLDS"):
        configured(tmp_path, 1883, "gateway", tmp_path / "absent", OLD_NODE_THRESHOLDS=given)
