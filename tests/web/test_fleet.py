"""The live view of nodes: each packet counts once, in any order of arrival, and nothing is guessed."""

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.broker.messages import Estimate, Identity, Reading
from aoii.broker.node_liveness import STATES, ErrorBound, NodeLiveness, Vouched
from aoii.runtime.clock import utc
from aoii.server.rows import EdgeLogRow, NodeSummary, ReadingRow
from aoii.web import fleet
from aoii.web.fleet import UNNAMED, Fleet
from aoii.web.points import Sample
from aoii.web.summary import NodeHealth, Summary
from web.recorded import FLEET_SETTINGS, PERIOD_MS, START_MS, Minute, minutes, packets_of

DAY_S = 86400
END_MS = START_MS + 1439 * PERIOD_MS


def row_of(reading: Reading, row_id: int = 1) -> ReadingRow:
    who = reading.identity
    assert reading.event_unix_ms is not None
    return ReadingRow(
        id=row_id,
        created_at=datetime(2026, 5, 4, 3, 2, 1),  # noqa: DTZ001 - local, as in the database
        actual_temp=reading.actual_t,
        actual_humidity=reading.actual_h,
        pred_temp=reading.pred_t,
        pred_humidity=reading.pred_h,
        error_temp=reading.actual_t - reading.pred_t,
        error_humidity=reading.actual_h - reading.pred_h,
        transmission_delay_ms=None,
        gateway=reading.gateway,
        node=who.node if who else None,
        epoch=who.epoch if who else None,
        counter=who.counter if who else None,
        kind=reading.kind,
        event_time=utc(reading.event_unix_ms),
        clock_synced=True,
    )


def fleet_of(story: list[Minute], *, logs: bool = True) -> Fleet:
    nodes = Fleet(FLEET_SETTINGS)
    for minute in story:
        if logs:
            nodes.add_log_row(minute.log)
        if minute.reading is not None:
            nodes.add_reading(row_of(minute.reading))
        nodes.add_message(minute.estimate)
    return nodes


def summary_of(nodes: Fleet, node: str = "7", span_s: float = DAY_S, now_ms: int = END_MS) -> Summary:
    return nodes.summary(node, span_s, now_ms)


def test_a_day_counts_its_packets_against_one_a_minute() -> None:
    story = list(minutes("7"))

    summary = summary_of(fleet_of(story))

    assert (summary.packets, summary.periodic) == (packets_of(story), 1440)
    assert summary.qos1 + summary.qos0 == summary.packets
    assert summary.heartbeats == sum(m.reading is not None and m.reading.kind == "heartbeat" for m in story)
    assert summary.estimates == 1440


def test_a_span_counts_only_what_lies_in_it() -> None:
    story = list(minutes("7"))

    summary = summary_of(fleet_of(story, logs=False), span_s=3600)

    last_hour = [m for m in story if m.estimate.unix_ms and m.estimate.unix_ms - 20_000 > END_MS + 20_000 - 3_600_000]
    assert (summary.packets, summary.periodic) == (packets_of(last_hour), 60)


def test_a_packet_from_the_broker_and_from_the_database_counts_once() -> None:
    reading = next(m.reading for m in minutes("7") if m.reading)
    nodes = Fleet(FLEET_SETTINGS)

    nodes.add_message(reading, 0)
    nodes.add_reading(row_of(reading))
    nodes.add_message(reading, 1)

    summary = summary_of(nodes)
    assert (summary.packets, summary.qos0, summary.qos1) == (1, 1, 0)


def test_a_reading_that_two_gateways_received_counts_once() -> None:
    reading = next(m.reading for m in minutes("7") if m.reading)
    nodes = Fleet(FLEET_SETTINGS)

    nodes.add_message(replace(reading, gateway="attic"), 0)
    nodes.add_message(replace(reading, gateway="cellar", event_unix_ms=(reading.event_unix_ms or 0) + 700), 0)

    assert (nodes.names(), summary_of(nodes).packets) == (["7"], 1)


def test_without_a_payload_the_thresholds_give_the_qos() -> None:
    reading = next(m.reading for m in minutes("7") if m.reading)
    nodes = Fleet(FLEET_SETTINGS)

    for counter, error in enumerate((0.0, 0.49, 0.5, -0.5)):
        row = row_of(reading)
        nodes.add_reading(replace(row, counter=counter, error_temp=error, error_humidity=0.0))

    summary = summary_of(nodes)
    assert (summary.qos0, summary.qos1) == (2, 2)


@pytest.mark.parametrize(("node", "wrong"), [("7", 1), ("8", 2), ("9", 0)])
def test_a_node_with_thresholds_of_its_own_is_judged_by_them(node: str, wrong: int) -> None:
    """Errors of 0.2, 0.3 and 0.5 °C, in a log, in rows and in messages; the shared threshold is 0.5."""
    own = replace(FLEET_SETTINGS, own_thresholds={"8": (0.3, 2.0), "9": (0.7, 4.0)})
    logs, rows, messages = Fleet(own), Fleet(own), Fleet(own)
    minute = next(iter(minutes("7", count=1)))
    reading = next(m.reading for m in minutes("7") if m.reading)
    logs.add_reading(replace(row_of(reading), node=node, counter=9, actual_temp=-40.0))  # of none of these samples

    for counter, error in enumerate((0.2, 0.3, 0.5)):
        both: dict[str, Any] = {
            "node": node, "event_time": utc(START_MS + counter * PERIOD_MS), "actual_temp": 20.0 + error,
            "pred_temp": 20.0, "error_temp": error, "actual_humidity": 40.0, "pred_humidity": 40.0,
            "error_humidity": 0.0,
        }  # fmt: skip
        logs.add_log_row(replace(minute.log, triggered=False, status="SKIP", **both))
        rows.add_reading(replace(row_of(reading), counter=counter, **both))
        identity = Identity(node, 1, counter)
        messages.add_message(
            replace(reading, identity=identity, actual_t=20.0 + error, pred_t=20.0, actual_h=40.0, pred_h=40.0)
        )

    aoii = summary_of(logs, node).aoii
    assert aoii is not None
    assert aoii.wrong == wrong
    assert summary_of(rows, node).qos1 == summary_of(messages, node).qos1 == wrong


def test_aoii_from_the_log_is_that_of_a_count_by_hand() -> None:
    story = list(minutes("7", loses_every=7))
    ages, age = [], 0
    for minute in story:
        log = minute.log
        wrong = round(abs(log.error_temp) * 100) >= 50 or round(abs(log.error_humidity or 0) * 100) >= 300
        age = age + 60 if wrong and minute.reading is None else 0
        ages.append(age)

    aoii = summary_of(fleet_of(story)).aoii

    assert aoii is not None
    assert aoii.basis == "log"
    assert (aoii.wrong, aoii.instants) == (sum(age > 0 for age in ages), 1440)
    assert aoii.wrong > 0  # or this test would prove nothing
    assert aoii.mean_s == pytest.approx(sum(ages) / 1440)
    assert aoii.p99_s == sorted(ages)[-(-1440 * 99 // 100) - 1]


def test_the_spans_of_being_wrong_cover_the_wrong_minutes() -> None:
    story = list(minutes("7", loses_every=7))

    summary = summary_of(fleet_of(story))

    assert summary.aoii is not None
    covered_ms = sum(end - start for start, end in summary.wrong_spans)
    assert covered_ms == summary.aoii.wrong * PERIOD_MS


def test_a_log_without_packets_has_no_aoii() -> None:
    nodes = Fleet(FLEET_SETTINGS)
    for minute in minutes("7", count=60):
        nodes.add_log_row(minute.log)

    summary = summary_of(nodes)

    assert (summary.logged, summary.aoii, summary.wrong_spans) == (True, None, [])


def test_without_the_log_aoii_is_marked_as_a_bound() -> None:
    story = list(minutes("7"))
    late = [
        replace(m.reading, kind="backfill") if m.reading and n in (3, 4) else m.reading for n, m in enumerate(story)
    ]
    assert late[3] is None or late[3].kind == "backfill"
    nodes = Fleet(FLEET_SETTINGS)
    for reading in late:
        if reading is not None:
            nodes.add_reading(row_of(reading))

    aoii = summary_of(nodes).aoii

    assert aoii is not None
    assert aoii.basis == "bound"
    assert aoii.wrong == sum(reading is not None and reading.kind == "backfill" for reading in late)


@pytest.mark.parametrize("liveness", STATES)
def test_what_the_gateways_say_of_a_node_is_its_state_and_vouches_for_its_estimate(liveness: NodeLiveness) -> None:
    vouched = Vouched(liveness, START_MS + 5, ErrorBound(0.5, 3.0) if liveness in ("ok", "late") else None)
    (minute,) = minutes("7", count=1)
    assert minute.reading is not None
    nodes = Fleet(FLEET_SETTINGS)
    assert minute.estimate.node is not None
    nodes.expect(minute.estimate.node)
    empty = nodes.summary("7", DAY_S, END_MS, vouched=vouched)
    nodes.add_reading(row_of(minute.reading))
    measured = nodes.summary("7", DAY_S, END_MS, vouched=vouched)
    nodes.add_message(minute.estimate)
    estimated = nodes.summary("7", DAY_S, END_MS, vouched=vouched)

    for summary in (empty, measured, estimated):
        assert (summary.states, summary.liveness, summary.last_heard_ms) == ([liveness], liveness, START_MS + 5)
    assert [(one.source, one.error_bound) for one in (empty, measured, estimated)] == [
        (None, None), ("measured", ErrorBound(0, 0)), ("estimated", vouched.error_bound)
    ]  # fmt: skip


def test_a_node_was_heard_when_its_last_packet_came_if_no_gateway_says_more() -> None:
    nodes = fleet_of(list(minutes("7", count=1)))

    assert summary_of(nodes).last_heard_ms == START_MS
    assert nodes.summary("7", DAY_S, END_MS, vouched=Vouched("ok", START_MS - 1)).last_heard_ms == START_MS


def test_with_a_fresh_log_the_state_is_wrong_or_correct() -> None:
    story = list(minutes("7", loses_every=7))
    lost = next(n for n, m in enumerate(story) if m.log.triggered and m.reading is None and n > 60)
    now_ms = START_MS + lost * PERIOD_MS + 20_000

    wrong = summary_of(fleet_of(story[: lost + 1]), now_ms=now_ms)
    right = summary_of(fleet_of(story[:lost]), now_ms=now_ms)
    on_its_way = summary_of(fleet_of(story[: lost + 1]), now_ms=now_ms - 10_000)
    long_ago = summary_of(fleet_of(story[: lost + 1]), now_ms=now_ms + 4 * PERIOD_MS)

    states = [summary.states for summary in (wrong, right, on_its_way, long_ago)]
    assert states == [["wrong", "unknown"], ["unknown", "correct"], ["unknown", "correct"], ["unknown"]]


def test_the_health_of_a_node_adds_states_the_worst_first() -> None:
    nodes = fleet_of(list(minutes("7", count=1)))
    flat = NodeHealth(battery_v=3.3, low_battery=True)

    assert nodes.summary("7", DAY_S, END_MS, flat, Vouched("ok")).states == ["low_battery", "ok"]
    assert nodes.summary("7", DAY_S, END_MS, flat, Vouched("dead")).states == ["dead", "low_battery"]


def test_an_expected_node_and_one_with_only_a_log_are_unknown() -> None:
    nodes = Fleet(FLEET_SETTINGS)
    nodes.expect("3")
    nodes.add_log_row(next(iter(minutes("7"))).log)

    assert [summary_of(nodes, node).states for node in nodes.names()] == [["unknown"], ["unknown"]]


def test_many_nodes_share_the_room_for_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "POINTS_LIMIT", 3 * 4 * 25)
    nodes = Fleet(FLEET_SETTINGS)
    acts = [partial(nodes.add_message, m.estimate) for node in "1234" for m in minutes(node, count=100)]

    for act in acts:
        act()
    for node in "1234":
        nodes.add_message(next(iter(minutes(node, count=1))).estimate)

    assert [len(nodes.points(node, DAY_S).estimates) for node in "1234"] == [25] * 4


def test_a_node_whose_rows_are_too_old_is_listed() -> None:
    nodes = Fleet(FLEET_SETTINGS)

    nodes.add_node(NodeSummary("9", "roof", 12, utc(START_MS), utc(START_MS)))

    summary = summary_of(nodes, "9")
    assert (summary.states, summary.last_packet_ms, summary.gateway) == (["unknown"], START_MS, "roof")
    assert (summary.packets, summary.aoii, summary.spark) == (0, None, [])


def test_rows_of_the_reference_system_are_shown_by_the_time_of_their_insert() -> None:
    reading = next(m.reading for m in minutes("7") if m.reading)
    row = replace(row_of(reading), node=None, epoch=None, counter=None, event_time=None, kind=None, gateway=None)
    nodes = Fleet(FLEET_SETTINGS)

    nodes.add_reading(row)
    nodes.add_reading(replace(row, id=2))
    nodes.add_reading(row)

    summary = summary_of(nodes, UNNAMED)
    assert summary.packets == 2
    assert summary.last_packet_ms == round(row.created_at.timestamp() * 1000)


def test_an_estimate_without_a_clock_is_placed_by_its_local_time() -> None:
    nodes = Fleet(FLEET_SETTINGS)

    nodes.add_message(Estimate(None, None, "2026-05-04 03:02:01", 0.1, 20.0, 40.0, 1, None))
    nodes.add_message(Estimate(None, None, "yesterday", 0.1, 20.0, 40.0, 1, None))

    estimates = nodes.points(UNNAMED, DAY_S).estimates
    assert [b.at_ms for b in estimates] == [round(datetime(2026, 5, 4, 3, 2, 1).timestamp() * 1000)]  # noqa: DTZ001


def test_the_text_of_an_old_nodes_time_has_the_zone_of_old_nodes() -> None:
    nodes = Fleet(replace(FLEET_SETTINGS, old_zone=timezone(timedelta(hours=-8))))

    for name in (None, "roof/ttyUSB0", "7"):
        nodes.add_message(Estimate(None, name, "2026-05-04 03:02:01", 0.1, 20.0, 40.0, 1, None))

    old_ms = round(datetime(2026, 5, 4, 11, 2, 1, tzinfo=UTC).timestamp() * 1000)
    local_ms = round(datetime(2026, 5, 4, 3, 2, 1).timestamp() * 1000)  # noqa: DTZ001 - in the machine's zone
    held = [nodes.points(name, DAY_S).estimates[0].at_ms for name in (UNNAMED, "roof/ttyUSB0", "7")]
    assert held == [old_ms, old_ms, local_ms]


def test_nodes_are_ordered_as_a_person_would() -> None:
    nodes = Fleet(FLEET_SETTINGS)

    for name in ("10", "gateway/ttyUSB0", "2"):
        nodes.add_node(NodeSummary(name, None, 1, utc(START_MS), utc(START_MS)))

    assert nodes.names() == ["2", "10", "gateway/ttyUSB0"]


def test_nodes_beyond_the_limit_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "NODE_LIMIT", 2)
    nodes = Fleet(FLEET_SETTINGS)

    for name in ("1", "2", "3"):
        nodes.add_message(Estimate(None, name, "2026-05-04 03:02:01", 0.1, 20.0, 40.0, 1, 5))

    assert (nodes.names(), nodes.left_out) == (["1", "2"], 1)


def test_memory_is_bounded_and_the_oldest_points_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "TRACK_LIMIT", 50)
    story = list(minutes("7"))

    nodes = fleet_of(story)

    points = nodes.points("7", 10 * DAY_S)
    assert [len(track) for track in points] == [50, 50, 50]
    assert points.samples[-1].at_ms == END_MS
    assert len(nodes._nodes["7"].keys) == 50


def test_a_subscriber_gets_what_arrived_since_its_last_poll_whatever_its_event_time() -> None:
    nodes = fleet_of(list(minutes("7", count=10)))
    seen = nodes.version

    late = EdgeLogRow(
        actual_temp=1, actual_humidity=2, pred_temp=3, pred_humidity=4, error_temp=-2, error_humidity=-2,
        triggered=False, status="SKIP", inference_time_us=None, free_heap=None, total_heap=None,
        node="7", event_time=utc(START_MS - 5000),
    )  # fmt: skip
    nodes.add_log_row(late)

    points = nodes.points_since("7", seen)
    assert points is not None
    assert (points.samples, points.estimates, points.packets) == (
        [Sample(START_MS - 5000, 1, 2, 3, 4, False, False)],
        [],
        [],
    )


def test_a_subscriber_that_fell_behind_must_start_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "TRACK_LIMIT", 5)
    nodes = fleet_of(list(minutes("7", count=2)))
    seen = nodes.version

    for minute in list(minutes("7", count=20))[2:]:
        nodes.add_message(minute.estimate)

    assert nodes.points_since("7", seen) is None
    assert nodes.points_since("7", nodes.version) is not None
    assert nodes.points_since("8", 0) is None


@given(st.randoms(use_true_random=False), st.integers(0, 1))
def test_order_and_repetition_of_arrival_change_nothing(random_: random.Random, doubled: int) -> None:
    story = list(minutes("7", count=90, loses_every=4))
    nodes = Fleet(FLEET_SETTINGS)
    acts: list[Callable[[], None]] = [partial(nodes.add_log_row, m.log) for m in story]
    acts += [partial(nodes.add_message, m.estimate) for m in story]
    acts += [partial(nodes.add_reading, row_of(m.reading)) for m in story if m.reading] * (1 + doubled)
    acts += [partial(nodes.add_message, m.reading) for m in story if m.reading]
    random_.shuffle(acts)

    for act in acts:
        act()

    assert summary_of(nodes) == summary_of(fleet_of(story))


def test_a_span_ends_where_the_nodes_own_time_ends() -> None:
    story = list(minutes("7", count=30))

    summary = summary_of(fleet_of(story), now_ms=END_MS + int(timedelta(days=400).total_seconds() * 1000))

    assert summary.end_ms == START_MS + 29 * PERIOD_MS + 20_000
    assert summary.states == ["unknown"]
