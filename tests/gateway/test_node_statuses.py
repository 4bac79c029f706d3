"""What a gateway says of a node, and when it says it again."""

from dataclasses import replace

import pytest

from aoii.broker.node_liveness import ErrorBound, NodeLiveness, Vouched
from aoii.broker.node_status import NodeStatus
from aoii.gateway.liveness import Judgement, Liveness, promise
from aoii.gateway.node_statuses import REPEAT_S, VALID_S, DueStatuses, status_of
from aoii.gateway.readings import Instant

AT = Instant(1_772_000_000_000, True, 5, 1)
BOUND = ErrorBound(0.5, 3.0)


@pytest.mark.parametrize(
    ("judged", "is_faulty", "liveness", "is_vouched_for"),
    [
        ("ok", False, "ok", True),
        ("late", False, "late", True),
        ("dead", False, "dead", False),
        ("unknown", False, "unknown", False),
        ("ok", True, "sensor_fault", False),
        ("late", True, "late", False),
        ("dead", True, "dead", False),
        ("unknown", True, "unknown", False),
    ],
)
def test_only_a_node_that_keeps_its_promise_vouches_for_its_estimate(
    judged: Liveness, is_faulty: bool, liveness: NodeLiveness, is_vouched_for: bool
) -> None:
    judgement = Judgement(judged, 61_500, promise(3600), AT.unix_ms - 61_500)

    status = status_of("7", "attic", judgement, BOUND, AT, is_sensor_faulty=is_faulty)

    assert status.vouched == Vouched(liveness, AT.unix_ms - 61_500, BOUND if is_vouched_for else None)
    assert (status.silence_s, status.deadline_s, status.unix_ms) == (61.5, 7200, AT.unix_ms)


def test_a_node_that_was_never_heard_is_unknown_and_a_clock_that_nobody_set_is_not_named() -> None:
    status = status_of("7", "attic", None, BOUND, replace(AT, is_synced=False), is_sensor_faulty=False)

    assert status == NodeStatus("7", "attic", Vouched(), None, None, None, VALID_S)


def test_a_status_is_due_when_it_changes_when_it_is_old_and_on_a_new_connection() -> None:
    due = DueStatuses()
    ok = status_of("7", "attic", Judgement("ok", 0, promise(3600)), BOUND, AT, is_sensor_faulty=False)
    older = replace(ok, silence_s=60.0)
    late = replace(ok, vouched=replace(ok.vouched, liveness="late"))
    found = []

    for status, connection, now_s in [
        (ok, 1, 0.0), (older, 1, 1.0), (late, 1, 2.0), (late, 1, 1.0 + REPEAT_S), (late, 1, 2.0 + REPEAT_S),
        (late, 2, 3.0 + REPEAT_S), (late, 2, 4.0 + REPEAT_S),
    ]:  # fmt: skip
        nodes = due.due({"7": status}, ["7"], connection, now_s)
        found.append(nodes)
        for node in nodes:
            due.record(node, status, now_s)

    assert found == [["7"], [], ["7"], [], ["7"], ["7"], []]
    assert REPEAT_S * 2 < VALID_S  # one message may be lost


def test_what_was_not_published_stays_due() -> None:
    due = DueStatuses()
    status = status_of("7", "attic", None, None, AT, is_sensor_faulty=False)

    assert due.due({"7": status}, [], 1, 0) == ["7"]
    assert due.due({"7": status}, [], 1, 1) == ["7"]


def test_a_node_that_is_gone_is_retracted_once_also_if_an_earlier_run_said_something_of_it() -> None:
    due = DueStatuses()
    status = status_of("7", "attic", None, None, AT, is_sensor_faulty=False)
    due.record("7", status, 0)
    assert due.due({"7": status}, ["7", "8"], 1, 0) == ["8", "7"]  # a new connection
    for node, said in (("7", status), ("8", None)):
        due.record(node, said, 0)

    assert due.due({}, ["7", "8"], 1, 1) == ["7"]
    due.record("7", None, 1)
    assert due.due({}, ["7", "8"], 1, 2) == []
    assert due.due({"7": status}, ["7", "8"], 1, 3) == ["7"]  # it is back
