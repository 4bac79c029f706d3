"""Kept summaries: made anew only when the node, its health or the fleet changed, and not too often."""

import itertools

import pytest

from aoii.web import summary_cache
from aoii.web.node_health import NodeHealth
from aoii.web.node_settings import NodeSettings
from aoii.web.shared_fleet import SharedFleet
from aoii.web.summary_cache import DAY_S, SUMMARY_IDLE_S, SUMMARY_MAX_AGE_S, SummaryCache
from web.recorded import START_MS, minutes

NODE_SETTINGS = NodeSettings(beta_temp=0.5, beta_hum=3.0, period_s=60, heartbeat_s=3600)
STORY = list(minutes("7", count=10))


class Clock:
    """Real seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


class Cache:
    """A cache over one node, with a clock and the health of nodes."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.shared = SharedFleet(NODE_SETTINGS, ["8"])
        self.health: dict[str, NodeHealth] = {}
        self.summaries = SummaryCache(self.shared, lambda: START_MS, lambda: self.health)
        self.estimates = itertools.count()
        self.change()

    def change(self) -> None:
        self.shared.fleet.add_message(STORY[next(self.estimates)].estimate)


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch) -> Cache:
    clock = Clock()
    monkeypatch.setattr(summary_cache, "time", clock)
    return Cache(clock)


def test_a_node_that_changed_is_summarized_again_after_a_second(cache: Cache) -> None:
    first = cache.summaries.summary("7", DAY_S)
    cache.change()
    cache.clock.now_s += SUMMARY_MAX_AGE_S
    kept = cache.summaries.summary("7", DAY_S)
    cache.clock.now_s += 0.1
    new = cache.summaries.summary("7", DAY_S)

    assert kept is first
    assert new is not None
    assert new.estimates == 2


def test_a_node_that_did_not_change_is_summarized_again_after_ten_seconds(cache: Cache) -> None:
    first = cache.summaries.summary("7", DAY_S)
    cache.clock.now_s += SUMMARY_IDLE_S

    assert cache.summaries.summary("7", DAY_S) is first
    cache.clock.now_s += 0.1
    assert cache.summaries.summary("7", DAY_S) is not first


def test_another_health_is_a_change(cache: Cache) -> None:
    cache.summaries.summary("7", DAY_S)
    cache.health = {"7": NodeHealth(low_battery=True)}
    cache.clock.now_s += SUMMARY_MAX_AGE_S + 0.1

    summary = cache.summaries.summary("7", DAY_S)

    assert summary is not None
    assert summary.health == cache.health["7"]


def test_every_span_has_its_own_summary_and_an_unknown_node_has_none(cache: Cache) -> None:
    assert cache.summaries.summary("7", 3600) is not cache.summaries.summary("7", DAY_S)
    assert cache.summaries.summary("9", DAY_S) is None


def test_all_nodes_are_summarized_at_most_twice_a_second(cache: Cache) -> None:
    first = cache.summaries.all_days()
    cache.shared.fleet.expect("9")

    assert [summary.node for summary in first] == ["7", "8"]
    assert cache.summaries.all_days() is first
    cache.clock.now_s += SUMMARY_MAX_AGE_S
    assert [summary.node for summary in cache.summaries.all_days()] == ["7", "8", "9"]


def test_nothing_is_kept_of_a_fleet_that_was_replaced(cache: Cache) -> None:
    cache.summaries.summary("7", DAY_S)
    cache.summaries.all_days()

    cache.shared.add_nodes([], is_replaced=True)

    assert cache.summaries.summary("7", DAY_S) is None
    assert [summary.node for summary in cache.summaries.all_days()] == ["8"]
