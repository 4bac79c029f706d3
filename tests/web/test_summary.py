"""The numbers of a summary: AoII, spans of wrong estimates, and the small line."""

from aoii.web.estimate_accuracy import Instant
from aoii.web.points import Sample
from aoii.web.summary import SPARK_POINTS, WRONG_SPANS_LIMIT, aoii_of, spark, wrong_spans

MINUTE_MS = 60_000


def instants(*wrong: bool) -> list[Instant]:
    return [Instant(minute * MINUTE_MS, each) for minute, each in enumerate(wrong)]


def samples(count: int) -> list[Sample]:
    return [Sample(minute, minute / 3, 0, 0, 0, False, False) for minute in range(count)]


def test_aoii_grows_by_a_period_at_every_wrong_instant() -> None:
    aoii = aoii_of(instants(False, True, True, False), "log", 60)

    assert (aoii.basis, aoii.wrong, aoii.instants) == ("log", 2, 4)
    assert aoii.mean_s == (60 + 120) / 4


def test_neighbouring_wrong_instants_are_one_span() -> None:
    spans = wrong_spans(instants(True, False, True, True, False), 60)

    assert spans == [(0, MINUTE_MS), (2 * MINUTE_MS, 4 * MINUTE_MS)]


def test_only_the_latest_spans_are_kept() -> None:
    alternating = instants(*[True, False] * (WRONG_SPANS_LIMIT + 5))

    spans = wrong_spans(alternating, 60)

    assert len(spans) == WRONG_SPANS_LIMIT
    assert spans[-1][0] == alternating[-2].at_ms


def test_a_small_line_keeps_few_points_and_both_ends() -> None:
    values = spark(samples(1440))

    assert len(values) == SPARK_POINTS
    assert (values[0], values[-1]) == (0, round(1439 / 3, 2))
    assert spark(samples(3)) == [0, 0.33, 0.67]
    assert spark([]) == []
