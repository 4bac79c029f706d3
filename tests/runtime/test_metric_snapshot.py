"""Metric snapshots: what is read from a station's page, by the handles, and under which names."""

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from aoii.runtime import metrics
from aoii.runtime.metric_snapshot import MetricSnapshot, decode_metrics

SOURCE = Path(metrics.__file__).parents[1]
TEXTS_FOR_PEOPLE = {  # no metric of ours has one of these names
    "aoii_write": "an execution option of the database",
    "aoii_server": "a user of the database, as `aoii setup` proposes it",
    "aoii_web": "the same, for the page",
    "aoii_session": "the page's cookie",
    "aoii_mean_s": "a column of the lab's reports",
    "aoii_p99_s": "a column of the lab's reports",
}


def snapshot(text: str) -> MetricSnapshot:
    return MetricSnapshot(samples=decode_metrics(text))


def test_no_file_but_the_declarations_writes_the_name_of_a_metric() -> None:
    written = {
        name
        for path in SOURCE.rglob("*.py")
        if path != Path(metrics.__file__)
        for name in re.findall(r"""["'](aoii_\w*)""", path.read_text(encoding="utf-8"))
    }

    assert written == TEXTS_FOR_PEOPLE.keys()


def test_a_page_is_read_by_the_handles_that_served_it() -> None:
    metrics.REJECTED.labels(reason="mac").inc(3)

    read = snapshot(generate_latest(metrics.BY_STATION["gateway"]).decode())

    assert read.total(metrics.REJECTED, reason="mac") == metrics.value(metrics.REJECTED, reason="mac")
    assert read.by_label(metrics.REJECTED, "reason")["mac"] == metrics.value(metrics.REJECTED, reason="mac")
    assert read.histogram_total(metrics.COMMIT_ACK_SECONDS, "count") is not None


def test_a_metric_that_is_not_served_is_none() -> None:
    read = snapshot("aoii_outbox_events 0\n")

    assert read.total(metrics.OUTBOX_EVENTS) == 0
    assert read.total(metrics.DATABASE_UP) is None
    assert read.histogram_total(metrics.COMMIT_ACK_SECONDS, "sum") is None
    assert read.by_label(metrics.REJECTED, "reason") == {}


def test_samples_are_added_over_the_labels_that_are_not_asked_for() -> None:
    read = snapshot(
        'aoii_gateway_publishes_total{event="RX",qos="1",result="sent"} 3\n'
        'aoii_gateway_publishes_total{event="EST",qos="0",result="sent"} 4\n'
    )

    assert read.total(metrics.PUBLISHES) == 7
    assert read.total(metrics.PUBLISHES, event="RX", result="sent") == 3
    assert read.by_label(metrics.PUBLISHES, "result") == {"sent": 7}


@pytest.mark.parametrize("old", sorted(metrics.RENAMED))
def test_a_renamed_metric_is_found_under_its_old_name(old: str) -> None:
    end = "_sum" if "seconds" in old else ""

    (found,) = decode_metrics(f"{old}{end} 5\n").items()

    assert found == (metrics.name_of(metrics.RENAMED[old]) + end, {frozenset(): 5.0})


def test_what_is_skipped_and_what_is_not_ours_is_not_read() -> None:
    text = (
        'python_info{x="y"} 1.0\naoii_node_aoii_reports_seconds_bucket{le="1.0",node="1"} 3.0\naoii_node_rssi_dbm 3\n'
        "aoii_outbox_events 2\n"
    )

    assert decode_metrics(text, skip=[metrics.NODE_RSSI]).keys() == {"aoii_outbox_events"}


@given(st.text())
def test_any_text_is_samples_of_ours_or_a_value_error(text: str) -> None:
    try:
        found = decode_metrics(text)
    except ValueError:
        return
    assert all(name.startswith("aoii_") for name in found)


@given(st.sampled_from(["aoii_outbox_events", "aoii_readings_processed_total{outcome="]), st.text(max_size=20))
def test_a_damaged_line_is_a_number_or_a_value_error(name: str, rest: str) -> None:
    try:
        found = decode_metrics(name + rest)
    except ValueError:
        return
    assert all(isinstance(value, float) or math.isnan(value) for values in found.values() for value in values.values())
