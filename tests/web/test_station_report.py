"""Rates and increases of one station, from two snapshots; what is not served stays unknown."""

import pytest

from aoii.runtime import metrics
from aoii.runtime.metric_snapshot import MetricSnapshot, decode_metrics
from aoii.web.station_report import StationReport


def report(before: str, now: str, span_s: float = 30.0) -> StationReport:
    return StationReport(
        "server",
        "127.0.0.1:5012",
        "answers",
        now=MetricSnapshot(100 + span_s, decode_metrics(now)),
        before=MetricSnapshot(100, decode_metrics(before)),
    )


def test_a_counter_has_an_increase_and_a_rate() -> None:
    found = report("aoii_insert_retries_total 3\n", "aoii_insert_retries_total 8\n")

    assert found.now.total(metrics.INSERT_RETRIES) == 8
    assert found.increase(metrics.INSERT_RETRIES) == 5
    assert found.per_minute(metrics.INSERT_RETRIES) == 10


def test_a_label_that_is_new_rose_from_0_and_a_counter_that_fell_did_not_rise() -> None:
    found = report(
        'aoii_readings_processed_total{outcome="stored"} 9\n',
        'aoii_readings_processed_total{outcome="stored"} 2\naoii_readings_processed_total{outcome="bad_row"} 4\n',
    )

    assert found.increase(metrics.READINGS_PROCESSED, outcome="bad_row") == 4
    assert found.increase(metrics.READINGS_PROCESSED, outcome="stored") == 0


@pytest.mark.parametrize(("now", "span_s"), [("aoii_insert_retries_total 8\n", 0.0), ("aoii_database_up 1\n", 30.0)])
def test_there_is_no_rate_with_one_snapshot_or_without_the_metric(now: str, span_s: float) -> None:
    assert report(now, now, span_s).per_minute(metrics.INSERT_RETRIES) is None


def test_a_histogram_has_the_mean_of_the_last_minute() -> None:
    before = "aoii_commit_ack_seconds_sum 10\naoii_commit_ack_seconds_count 4\n"
    now = "aoii_commit_ack_seconds_sum 13\naoii_commit_ack_seconds_count 6\n"

    assert report(before, now).mean(metrics.COMMIT_ACK_SECONDS) == 1.5
    assert report(now, now).mean(metrics.COMMIT_ACK_SECONDS) is None
