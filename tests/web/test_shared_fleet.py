"""The shared fleet: what is listed, what is left when the database is replaced, and how long summaries are kept."""

import itertools

import pytest

from aoii.broker.node_liveness import UNKNOWN, Vouched
from aoii.broker.node_status import Label
from aoii.runtime.clock import utc
from aoii.server.rows import NodeSummary
from aoii.web import shared_fleet
from aoii.web.shared_fleet import DAY_S, SUMMARY_IDLE_MAX_AGE_S, SUMMARY_MAX_AGE_S, SharedFleet
from aoii.web.summary import NodeHealth, Summary
from web.recorded import FLEET_SETTINGS, START_MS, minutes

STORY = list(minutes("7", count=10))
STORED = NodeSummary("9", "roof", 12, utc(START_MS), utc(START_MS))


def fleet_of(*expected: str) -> SharedFleet:
    return SharedFleet(FLEET_SETTINGS, expected, lambda: START_MS, dict, lambda _: UNKNOWN, lambda _: Label())


class Clock:
    """Real seconds that pass only when the test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        return self.now_s


class Watched:
    """A fleet of nodes 7 and 8, with a clock and the health of nodes."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.health: dict[str, NodeHealth] = {}
        self.vouched = UNKNOWN
        self.label = Label()
        self.shared = SharedFleet(
            FLEET_SETTINGS, ["8"], lambda: START_MS, lambda: self.health, lambda _: self.vouched, lambda _: self.label
        )
        self.estimates = itertools.count()
        self.change()

    def change(self) -> None:
        self.shared.fleet.add_message(STORY[next(self.estimates)].estimate)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    clock = Clock()
    monkeypatch.setattr(shared_fleet, "time", clock)
    return Watched(clock)


def test_expected_nodes_are_listed_beside_those_of_the_database() -> None:
    shared = fleet_of("3")

    shared.add_nodes([STORED], is_replaced=False)

    assert shared.names() == ["3", "9"]


def test_the_first_database_keeps_what_the_broker_brought_before() -> None:
    shared = fleet_of()
    shared.fleet.add_message(STORY[0].estimate)

    shared.add_nodes([STORED], is_replaced=False)

    assert shared.names() == ["7", "9"]


def test_another_database_replaces_all_but_the_expected_nodes() -> None:
    shared = fleet_of("3")
    before = shared.fleet
    before.add_message(STORY[0].estimate)

    shared.add_nodes([STORED], is_replaced=True)

    assert shared.fleet is not before
    assert shared.names() == ["3", "9"]


def test_a_node_that_changed_is_summarized_again_after_a_second(watched: Watched) -> None:
    first = watched.shared.summary("7", DAY_S)
    watched.change()
    watched.clock.now_s += SUMMARY_MAX_AGE_S
    kept = watched.shared.summary("7", DAY_S)
    watched.clock.now_s += 0.1
    new = watched.shared.summary("7", DAY_S)

    assert kept is first
    assert new is not None
    assert new.estimates == 2


def test_a_node_that_did_not_change_is_summarized_again_after_ten_seconds(watched: Watched) -> None:
    first = watched.shared.summary("7", DAY_S)
    watched.clock.now_s += SUMMARY_IDLE_MAX_AGE_S

    assert watched.shared.summary("7", DAY_S) is first
    watched.clock.now_s += 0.1
    assert watched.shared.summary("7", DAY_S) is not first


def test_another_health_is_a_change(watched: Watched) -> None:
    watched.shared.summary("7", DAY_S)
    watched.health = {"7": NodeHealth(low_battery=True)}
    watched.clock.now_s += SUMMARY_MAX_AGE_S + 0.1

    summary = watched.shared.summary("7", DAY_S)

    assert summary is not None
    assert summary.health == watched.health["7"]


def test_another_name_is_a_change(watched: Watched) -> None:
    watched.shared.summary("7", DAY_S)
    watched.label = Label("온실", "왼쪽 줄")
    watched.clock.now_s += SUMMARY_MAX_AGE_S + 0.1

    summary = watched.shared.summary("7", DAY_S)

    assert summary is not None
    assert (summary.node, summary.name, summary.place) == ("7", "온실", "왼쪽 줄")


def test_another_word_of_the_gateways_is_a_change(watched: Watched) -> None:
    watched.shared.summary("7", DAY_S)
    watched.vouched = Vouched("late", START_MS)
    watched.clock.now_s += SUMMARY_MAX_AGE_S + 0.1

    summary = watched.shared.summary("7", DAY_S)

    assert summary is not None
    assert summary.liveness == "late"


def test_every_span_has_its_own_summary_and_an_unknown_node_has_none(watched: Watched) -> None:
    assert watched.shared.summary("7", 3600) is not watched.shared.summary("7", DAY_S)
    assert watched.shared.summary("9", DAY_S) is None


def test_all_nodes_are_summarized_at_most_twice_a_second(watched: Watched) -> None:
    first = watched.shared.day_summaries()
    watched.shared.fleet.expect("9")

    assert [summary.node for summary in first] == ["7", "8"]
    assert watched.shared.day_summaries() is first
    watched.clock.now_s += SUMMARY_MAX_AGE_S
    assert [summary.node for summary in watched.shared.day_summaries()] == ["7", "8", "9"]


def test_nothing_is_kept_of_a_fleet_that_was_replaced(watched: Watched) -> None:
    watched.shared.summary("7", DAY_S)
    watched.shared.day_summaries()

    watched.shared.add_nodes([], is_replaced=True)

    assert watched.shared.summary("7", DAY_S) is None
    assert [summary.node for summary in watched.shared.day_summaries()] == ["8"]


def test_nothing_is_kept_of_a_fleet_that_is_replaced_while_it_is_summarized(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    summarize = watched.shared.summary

    def summarize_and_replace(name: str, span_s: int, max_age_s: float) -> Summary | None:
        made = summarize(name, span_s, max_age_s)
        watched.shared.add_nodes([], is_replaced=True)
        return made

    with monkeypatch.context() as patch:
        patch.setattr(watched.shared, "summary", summarize_and_replace)
        watched.shared.day_summaries()

    assert [summary.node for summary in watched.shared.day_summaries()] == ["8"]
