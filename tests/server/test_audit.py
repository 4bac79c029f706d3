"""The audit's machine against a table and gateways in memory: what is asked, when, and what is recorded at last."""

import sys
from dataclasses import replace
from itertools import pairwise
from types import FrameType
from typing import TYPE_CHECKING

import pytest

from aoii.broker.repair_messages import Finding, Holding, Hole, Report
from aoii.server.asked_gateway import ANSWER_S, OWED_S, REFRESH_S, ROUND_TRIP_S, UNANSWERED_S
from aoii.server.audit import FULL_S, LOOK_S, QUICK_S
from aoii.server.gap import Gap
from aoii.server.unaccounted import NODE_NOT_ASKED, OLD_DETAIL
from server.audit_world import KEY, FakeGateway, World, gateway

if TYPE_CHECKING:
    from _typeshed import TraceFunction

HOUR_S = 3600.0


def begun(*gateways: FakeGateway, rows: int = 10) -> World:
    """A world whose table has the first rows, and whose first looks are over."""
    world = World(*gateways)
    world.store(range(1, rows + 1))
    world.connect()
    world.run(3 * QUICK_S)
    return world


# --- when it looks and when it asks -------------------------------------------------------------------------------


def test_a_healthy_stack_is_asked_nothing_but_whether_it_answers_hourly() -> None:
    world = begun(gateway("a", range(1, 11)))
    first = len(world.asks)

    for number in range(11, 11 + 26):
        world.store([number])
        world.gateways["a"].held[KEY].add(number)
        world.run(HOUR_S)

    assert all(not ask.holes for _, _, ask in world.asks)
    assert 24 <= len(world.asks) - first <= 27
    assert world.gaps == {}


def test_it_looks_every_ten_minutes_and_at_every_row_once_a_day() -> None:
    world = begun(gateway("a", range(1, 11)))
    first = len(world.looks)

    world.run(2 * FULL_S)

    kinds = [kind for _, kind in world.looks[first:]]
    assert kinds.count("full") == 2
    assert abs(len(kinds) - 2 * FULL_S / LOOK_S) < 10
    assert [kind for _, kind in world.looks[:2]] == ["full", "incremental"]


def test_after_the_start_two_looks_five_seconds_apart_come_before_a_question() -> None:
    world = World(gateway("a", range(1, 11)))
    world.store([1, 2, 5])
    start_s = world.now_s

    world.connect()
    world.run(60)

    asked_s = min(at_s for at_s, _, ask in world.asks if ask.holes)
    assert QUICK_S <= asked_s - start_s <= QUICK_S + 3
    assert sorted(world.rows[KEY]) == list(range(1, 11))


def test_later_two_looks_are_ten_minutes_apart_and_what_arrives_meanwhile_is_not_asked_for() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.gateways["a"].held[KEY] |= {11, 12, 13, 14}
    world.store([11, 14])
    world.run(LOOK_S)  # one look
    world.store([12])
    seen_s = world.now_s

    world.run(2 * LOOK_S)

    asked_s = min(at_s for at_s, _, ask in world.asks if ask.holes)
    assert asked_s - seen_s > LOOK_S / 2
    assert world.gateways["a"].asked_numbers() == {13}


def test_what_only_the_second_look_lacks_waits_for_the_next() -> None:
    world = World(gateway("a", range(1, 11)))
    world.store([1, 2, 4, 5, 6, 7, 8, 9, 10])
    world.connect()
    world.run(QUICK_S + 1)
    world.lose([6])
    world.run(5)

    assert world.holes_asked() == {3}


def test_after_the_database_came_back_everything_is_looked_at_twice_and_asked_for_at_once() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.audit.database_away()
    world.run(HOUR_S)
    looks = len(world.looks)
    world.lose([4, 9, 10])

    world.audit.database_back(world.now_s)
    world.run(30)

    assert world.looks[looks][1] == "full"
    assert world.gateways["a"].asked_numbers() == {4, 9, 10}
    assert sorted(world.rows[KEY]) == list(range(1, 11))


def test_while_the_database_is_away_nothing_is_looked_at() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.audit.database_away()
    looks = len(world.looks)

    world.run(FULL_S + 60)

    assert len(world.looks) == looks


def test_rows_that_vanish_are_asked_for_five_seconds_after_the_look_that_noticed_it() -> None:
    world = begun(gateway("a", range(1, 11)))
    newest = {11, 12, 13}  # only a fresh report of the gateway knows of them
    world.gateways["a"].held[KEY] |= newest
    world.store(newest)
    world.run(LOOK_S)
    world.lose(newest)
    world.has_vanished = True

    world.run(LOOK_S + 60)

    assert sorted(world.rows[KEY]) == list(range(1, 14))


def test_a_look_from_before_the_database_was_away_does_not_count() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.lose([4])
    world.run(LOOK_S)
    world.audit.database_away()
    world.run(LOOK_S)

    world.audit.database_back(world.now_s)
    world.run(QUICK_S - 1)
    assert world.holes_asked() == set()
    world.run(QUICK_S)

    assert world.holes_asked() == {4}


def test_a_look_that_failed_is_done_again() -> None:
    world = World(gateway("a"))
    assert world.audit.look_due(world.now_s) == "full"
    assert world.audit.look_due(world.now_s) is None

    world.audit.fail_look(world.now_s)

    assert world.audit.look_due(world.now_s) is None
    assert world.audit.look_due(world.now_s + QUICK_S) == "full"


# --- requested audits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_full", [False, True])
def test_a_requested_audit_gets_back_what_is_missing_and_counts_it(is_full: bool) -> None:
    world = begun(gateway("a", [*range(1, 8), 9, 10], [8]), gateway("b", node_says={8: "void"}))
    world.lose([3, 8, 9, 10])
    looks = len(world.looks)

    world.audit.request(is_full, world.now_s)
    found = None
    for _ in range(300):
        world.step()
        found = found or world.audit.take_result()

    assert found is not None
    assert {name: found[name] for name in ("missing", "mended", "open", "asked_nodes")} == {
        "missing": 4, "mended": 3, "open": 1, "asked_nodes": 1,
    }  # fmt: skip
    assert world.looks[looks][1] == ("full" if is_full else "incremental")
    assert world.audit.progress is None


def test_a_requested_audit_of_a_whole_table_ends_after_two_looks() -> None:
    world = begun(gateway("a", range(1, 11)))

    world.audit.request(False, world.now_s)
    begun_s = world.now_s
    while (found := world.audit.take_result()) is None:
        world.step()

    assert QUICK_S <= world.now_s - begun_s <= QUICK_S + 5
    assert (found["rows"], found["missing"]) == (10, 0)
    assert (found["answered"], found["unanswered"]) == (1, 0)


def test_a_requested_audit_ends_though_a_gateway_does_not_answer() -> None:
    world = begun(gateway("a", range(1, 11)), gateway("b"))
    world.gateways["b"].is_deaf = True
    world.lose([3])

    world.audit.request(False, world.now_s)
    begun_s = world.now_s
    while (found := world.audit.take_result()) is None:
        world.step()

    assert world.now_s - begun_s <= 3 * ANSWER_S
    assert found["mended"] == 1
    assert (found["answered"], found["unanswered"]) == (1, 1)


def test_a_requested_audit_ends_though_what_a_gateway_holds_never_comes() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.lose([3])
    world.audit.request(False, world.now_s)
    found = None
    for _ in range(600):
        world.step()
        world.rows[KEY].pop(3, None)
        found = found or world.audit.take_result()

    assert found is not None
    assert found["open"] == 1


# --- what becomes of a number ------------------------------------------------------------------------------------


def decided(world: World, *missing: int, seconds: float = 4 * HOUR_S) -> World:
    """Lose rows, and let the audit do what it can."""
    world.lose(missing)
    world.audit.request(False, world.now_s)
    world.run(seconds)
    return world


def test_first_all_gateways_are_asked_and_then_the_one_that_heard_the_node_last_asks_it() -> None:
    world = begun(gateway("a", [1, 2, 3, 7]), gateway("b", [1, 2, 3, 7, 10], node_says={4: "void"}), gateway("c", [1]))
    world.rows[KEY][9] = "b"

    decided(world, 4)

    assert all(one.asked_numbers() == {4} for one in world.gateways.values())
    assert {one.name: one.asked_numbers(is_for_node=True) for one in world.gateways.values()} == {
        "a": set(), "b": {4}, "c": set(),
    }  # fmt: skip
    of_a = [at_s for at_s, name, ask in world.asks if name == "a" and ask.holes]
    of_node = [at_s for at_s, _, ask in world.asks if any(hole.is_for_node for hole in ask.holes)]
    assert max(of_a) < min(of_node)


def test_who_asks_the_node_goes_on_though_another_one_has_newer_readings() -> None:
    world = begun(gateway("a", [1, 10]), gateway("b", [1, 9]))
    world.rows[KEY][9] = "b"
    decided(world, 4, seconds=60)

    world.gateways["b"].held[KEY].add(20)
    world.store([20], "b")
    world.report(world.gateways["b"])
    world.run(3 * REFRESH_S)

    assert world.gateways["a"].asked_numbers(is_for_node=True) >= {4}
    assert 4 not in world.gateways["b"].asked_numbers(is_for_node=True)


def test_who_cannot_ask_the_node_is_passed_over() -> None:
    world = begun(gateway("a", [1, 2, 10], can_ask=False), gateway("b", [1, 2], node_says={4: "unknown"}))
    world.store([2], "b")

    decided(world, 4)

    assert world.gateways["b"].asked_numbers(is_for_node=True) == {4}
    assert world.states() == {4: "unknown"}


def test_if_nobody_can_ask_the_node_the_number_is_unknown() -> None:
    world = begun(gateway("a", [1, 10], can_ask=False), gateway("b", [1], can_ask=False))

    decided(world, 4)

    assert world.states() == {4: "unknown"}


@pytest.mark.parametrize(("said", "state"), [("void", "void"), ("unknown", "unknown"), ("silent", "unknown")])
def test_what_the_node_says_decides_what_no_gateway_has(said: str, state: str) -> None:
    world = begun(gateway("a", [1, 10], node_says={4: said}))

    decided(world, 4)

    assert world.states() == {4: state}


def test_a_void_is_trusted_only_from_a_gateway_that_brought_rows_of_the_node() -> None:
    world = begun(gateway("b", [1, 10], node_says={4: "void"}))  # all rows are of `a`

    decided(world, 4)

    assert world.states() == {4: "unknown"}


def test_what_a_gateway_once_had_is_lost_whatever_the_node_says() -> None:
    world = begun(gateway("a", [1, 10], [4], node_says={4: "void"}))

    decided(world, 4)

    assert world.gateways["a"].asked_numbers(is_for_node=True) == {4}
    assert world.states() == {4: "lost"}


def test_what_a_stranger_claims_to_have_forgotten_is_not_lost() -> None:
    world = begun(gateway("a", [1, 10], node_says={4: "void"}), gateway("b", [1], [4]))

    decided(world, 4)

    assert world.states() == {4: "void"}


def test_a_number_that_a_gateway_holds_is_decided_by_nobody() -> None:
    world = begun(gateway("a", [1, 10], node_says={4: "void"}), gateway("b", [4]))
    world.lose([4])
    for _ in range(int(2 * HOUR_S)):
        world.step()
        world.rows[KEY].pop(4, None)  # it never arrives

    assert world.states() == {4: "open"}
    assert world.gateways["a"].asked_numbers(is_for_node=True) == set()


def test_what_came_and_was_lost_again_before_a_look_is_asked_for_again_soon_and_then_ever_more_seldom() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.lose([4])
    for _ in range(int(3 * HOUR_S)):
        world.step()
        world.rows[KEY].pop(4, None)

    asked_s = [at_s for at_s, _, ask in world.asks if ask.holes]
    between_s = [later - earlier for earlier, later in pairwise(asked_s)]
    assert OWED_S <= between_s[0] <= 2 * OWED_S
    assert between_s[:4] == sorted(between_s[:4])
    assert 5 <= len(asked_s) <= 10  # with one an hour that asks for everything again

    world.run(HOUR_S + LOOK_S)
    assert 4 in world.rows[KEY]


def test_without_an_answer_of_the_node_a_number_stays_open_and_is_asked_for_again() -> None:
    world = begun(gateway("a", [1, 10]))

    decided(world, 4, seconds=5 * HOUR_S)

    assert world.states() == {4: "open"}
    for_node = [at_s for at_s, _, ask in world.asks if any(hole.is_for_node for hole in ask.holes)]
    assert 3 <= len(for_node) <= 6
    assert for_node[-1] - for_node[-2] >= REFRESH_S


def test_numbers_above_the_highest_row_are_lost_or_open_and_nothing_else() -> None:
    says = {11: "void", 12: "void", 13: "unknown"}
    world = begun(gateway("a", range(1, 11), [12], node_says=says), gateway("b", [], [13]))
    decided(world, seconds=HOUR_S)

    assert world.states() == {11: "open", 12: "lost", 13: "open"}

    world.store([20])
    world.run(HOUR_S)

    assert {number: state for number, state in world.states().items() if number <= 13} == {
        11: "void", 12: "lost", 13: "unknown",
    }  # fmt: skip


def test_numbers_of_old_nodes_are_asked_of_gateways_and_never_of_the_node() -> None:
    key = "old", 70_000
    world = World(FakeGateway("a", {key: {0, 1, 5}}))
    world.store([1, 5], key=key)
    world.connect()

    world.run(60)

    assert sorted(world.rows[key]) == [0, 1, 5]
    assert world.states(key) == {2: "unknown", 3: "unknown", 4: "unknown"}
    assert world.gateways["a"].asked_numbers(is_for_node=True, key=key) == set()


def test_holes_older_than_the_audit_are_unknown_and_no_node_is_asked_for_them() -> None:
    world = World(gateway("a", [2, 10, 11], node_says={8: "void"}))
    world.store([1, 5, 7, 9, 10, 11])
    world.before[KEY] = 7
    world.connect()

    world.run(HOUR_S)

    assert world.states() == {3: "unknown", 4: "unknown", 6: "unknown", 8: "void"}
    assert world.details() == {OLD_DETAIL, ""}
    assert world.gateways["a"].asked_numbers(is_for_node=True) == {8}
    assert 2 in world.rows[KEY]


def test_a_letter_that_is_being_dropped_is_still_there_when_its_number_is_retired() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.rows[KEY].pop(4)
    world.letters[KEY] = {4}
    world.record(Gap(*KEY, 4, 4, "retired"))
    world.run(2 * LOOK_S)

    world.letters.clear()
    world.run(3 * LOOK_S)

    assert world.states() == {4: "retired"}
    assert world.gateways["a"].asked_numbers() == set()


def test_dead_letters_account_for_numbers_until_they_vanish() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.lose([4])
    world.letters[KEY] = {4}
    decided(world)
    assert world.holes_asked() == set()

    world.letters.clear()
    world.run(3 * LOOK_S)

    assert sorted(world.rows[KEY]) == list(range(1, 11))


def test_below_a_floor_nothing_is_looked_for() -> None:
    world = begun(gateway("a", [9, 10]))
    world.floors[KEY] = 6

    decided(world, 1, 4, 6, 8)

    assert world.holes_asked() == {8}


def test_retired_numbers_are_not_asked_for() -> None:
    world = begun(gateway("a", [1, 10]))
    world.record(Gap(*KEY, 4, 4, "retired"))

    decided(world, 4)

    assert world.holes_asked() == set()
    assert world.states() == {4: "retired"}


def test_a_row_overrides_a_gap() -> None:
    world = begun(gateway("a", [1, 10], node_says=dict.fromkeys((4, 5), "void")))
    decided(world, 4, 5)
    assert world.states() == {4: "void", 5: "void"}

    world.store([4])
    world.run(2 * LOOK_S)

    assert world.states() == {5: "void"}


# --- gateways that do not answer ------------------------------------------------------------------------------------


def test_a_gateway_that_does_not_answer_keeps_nobody_from_asking_and_the_gap_names_it() -> None:
    world = begun(gateway("a", [1, 10], node_says={4: "void"}), gateway("b", [1, 4]))
    world.gateways["b"].is_deaf = True
    world.lose([4])
    world.audit.request(False, world.now_s)

    world.run(UNANSWERED_S - 60)
    assert world.states() == {4: "open"}
    world.run(HOUR_S)

    assert world.states() == {4: "void"}
    assert world.details() == {"not asked: b"}


def test_a_gap_that_was_decided_without_a_gateway_is_opened_again_when_it_answers() -> None:
    world = begun(gateway("a", [1, 10], node_says={4: "void", 5: "void"}), gateway("b", [1, 4]))
    world.gateways["b"].is_deaf = True
    decided(world, 4, 5)
    assert world.details() == {"not asked: b"}

    world.gateways["b"].is_deaf = False
    world.report(world.gateways["b"])
    world.run(2 * HOUR_S)

    assert 4 in world.rows[KEY]
    assert world.states() == {5: "void"}
    assert world.details() == {""}


def test_a_gateway_that_never_reports_as_those_of_version_0_1_is_not_waited_for() -> None:
    world = begun(gateway("a", [1, 10], node_says={4: "void"}))
    world.audit.meet(["old"], world.now_s)

    decided(world, 4)

    assert world.states() == {4: "void"}
    assert world.details() == {""}


def test_without_any_gateway_nothing_is_decided() -> None:
    world = World()
    world.store([1, 2, 5])

    world.run(5 * HOUR_S)

    assert world.states() == {3: "open", 4: "open"}


# --- databases that are replaced, and forged reports --------------------------------------------------------------


def test_an_empty_table_is_filled_from_what_gateways_report_and_nothing_is_recorded_before() -> None:
    world = World(gateway("a", [5, 6, 8]), gateway("b", [7, 8, 9]))
    world.connect()
    recorded: set[int] = set()
    for _ in range(40):
        world.step()
        recorded |= world.states().keys() if not world.rows else set()

    assert sorted(world.rows[KEY]) == [5, 6, 7, 8, 9]
    assert recorded == set()


def test_of_a_node_with_dead_letters_and_no_rows_nothing_is_recorded() -> None:
    world = World(gateway("a", [], [1, 5]))
    world.letters[KEY] = {1}
    world.connect()

    world.run(HOUR_S)

    assert world.gateways["a"].asked_numbers() == {2, 3, 4, 5}
    assert world.gaps == {}


def test_a_gateway_that_is_met_late_fills_an_empty_table_at_once() -> None:
    world = World(gateway("a", [5, 6, 8]))
    world.run(2 * HOUR_S)

    world.audit.meet(["a"], world.now_s)  # by its readings or estimates
    world.run(60)

    assert sorted(world.rows[KEY]) == [5, 6, 8]


def test_of_a_forged_report_of_unknown_nodes_nothing_is_recorded_and_others_are_not_asked() -> None:
    world = begun(gateway("a", range(1, 11)))
    forged = tuple(Holding(f"x{number}", 1, 1, 2**62, 0) for number in range(500))
    world.audit.take_report("forger", Report("f" * 16, 1, 0, forged), world.now_s)

    world.run(2 * HOUR_S)

    assert world.gaps == {}
    assert world.holes_asked() == set()
    assert sum(len(ask.holes) for _, name, ask in world.asks if name == "forger") <= 500 * (2 * HOUR_S / ANSWER_S + 2)


def test_a_forged_high_number_costs_one_range() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.audit.take_report("forger", Report("f" * 16, 1, 0, (Holding(*KEY, 1, 2**62, 0),)), world.now_s)

    world.run(3 * HOUR_S)

    assert {one.gap.state for one in world.gaps[KEY]} == {"open"}
    assert len(world.gaps[KEY]) == 1
    assert sum(len(one.holes) for one in world.gateways["a"].questions) <= 10


# --- files of gateways ------------------------------------------------------------------------------------------------


def test_a_file_that_is_an_older_copy_is_told_so_until_it_confirms_and_then_its_sequence_is_taken() -> None:
    world = begun(gateway("a", range(1, 11)))
    one = world.gateways["a"]
    one.seq = 400
    world.recorded.clear()

    world.report(one)
    assert world.recorded == []
    one.is_deaf = True
    world.run(5)
    one.is_deaf = False
    world.run(2 * ANSWER_S)

    told = [ask for _, _, ask in world.asks if ask.is_restored]
    assert len(told) == 1
    assert [report.seq for _, report in world.recorded] == [400]
    before = len(world.asks)
    world.report(one)
    world.run(2 * ANSWER_S)
    assert len(world.asks) == before


def test_an_old_report_that_comes_late_or_twice_is_not_taken_for_an_older_copy() -> None:
    world = begun(gateway("a", range(1, 11)))
    one = world.gateways["a"]
    old = one.report()
    one.seq = 2000
    world.report(one)

    for _ in range(3):
        world.report(one, old)
        world.report(one, old)
        world.run(3)

    assert not any(ask.is_restored for _, _, ask in world.asks)


def test_a_new_file_answers_anew() -> None:
    world = begun(gateway("a", [1, 10]))
    decided(world, 4, seconds=60)
    one = world.gateways["a"]
    one.file, one.seq, one.held, one.node_says = "1" * 16, 1, {}, {4: "void"}
    questions = len(one.questions)

    world.report(one)
    world.run(HOUR_S)

    assert [bool(ask.holes) for ask in one.questions[questions:]].count(True) >= 2
    assert world.states() == {4: "void"}


def test_a_gateway_that_had_nothing_of_a_node_is_no_evidence_of_numbers() -> None:
    world = begun(gateway("a", [1, 10]))
    echo = Report("e" * 16, 1, 0, (Holding("9", 1, 50, 50, 0, (Finding(50, 50, "absent"),)),))

    recorded = world.audit.take_report("b", echo, world.now_s)
    world.run(LOOK_S * 3)

    assert recorded == replace(echo, holdings=())
    assert all(hole.node != "9" for _, _, ask in world.asks for hole in ask.holes)


# --- questions ------------------------------------------------------------------------------------------------------


def test_one_question_at_a_time_with_at_most_300_holes_and_numbers_that_rise() -> None:
    numbers = range(1, 2001)
    world = World(gateway("a", numbers))
    world.store(numbers[::2])
    world.connect()

    world.run(60)

    assert sorted(world.rows[KEY]) == list(numbers)
    questions = [ask for _, _, ask in world.asks]
    assert max(len(ask.holes) for ask in questions) <= 300
    assert [ask.number for ask in questions] == sorted({ask.number for ask in questions})


def test_a_question_without_an_answer_is_asked_again_and_others_are_not_kept_waiting() -> None:
    world = begun(gateway("a", [1, 10]), gateway("b", [4]))
    world.run(ROUND_TRIP_S)
    world.gateways["a"].is_deaf = True
    world.lose([4, 5])
    world.has_vanished = True

    world.run(LOOK_S + 10 * ANSWER_S)

    lost = [ask for _, name, ask in world.asks if name == "a" and ask not in world.gateways["a"].questions]
    assert sum(bool(ask.holes) for ask in lost) >= 3
    assert 4 in world.rows[KEY]


def test_a_lost_question_that_asks_only_for_an_answer_comes_again_within_minutes_and_then_ever_more_seldom() -> None:
    world = World(gateway("a", range(1, 11)))
    world.store(range(1, 11))
    world.gateways["a"].is_deaf = True
    world.connect()
    world.run(4 * HOUR_S)
    asked_s = [at_s for at_s, _, _ in world.asks]
    assert asked_s[1] - asked_s[0] <= ANSWER_S + 5
    assert 7 <= len(asked_s) <= 12
    assert world.audit.gateways["a"].round_trip_s is None

    world.gateways["a"].is_deaf = False
    world.connect()  # its report shows that it is there
    world.run(ANSWER_S + 5)

    assert world.audit.gateways["a"].round_trip_s is not None


def test_a_question_that_could_not_be_sent_comes_again() -> None:
    world = begun(gateway("a", [1, 10]), rows=10)
    world.lose([4])
    world.audit.request(False, world.now_s)
    world.gateways["a"].is_deaf = True
    sent = None
    while sent is None or not sent.ask.holes:
        sent = world.audit.next_question(world.now_s)
        if sent is not None and not sent.ask.holes:
            world.report(world.gateways["a"], replace(world.gateways["a"].report(), asked=sent.ask.number))
        if (kind := world.audit.look_due(world.now_s)) is not None:
            world._look(kind == "full")
        world.now_s += 1

    world.audit.fail_question("a")
    again = world.audit.next_question(world.now_s)

    assert again is not None
    assert again.ask.holes == sent.ask.holes
    assert again.ask.number > sent.ask.number


def test_numbers_follow_a_higher_one_of_another_server() -> None:
    world = begun(gateway("a", range(1, 11)))
    one = world.gateways["a"]
    one.asked = 10**15
    world.report(one)

    world.run(ROUND_TRIP_S + 60)

    assert one.questions[-1].number == 10**15 + 1


def test_a_gateway_of_an_earlier_process_is_asked_to_report() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.restart()
    questions = len(world.gateways["a"].questions)

    world.run(3)

    assert len(world.gateways["a"].questions) == questions + 1


# --- what was given up too early ------------------------------------------------------------------------------------


def test_what_was_given_up_is_asked_of_a_gateway_that_nobody_knew_of_then() -> None:
    """As in a database that was replaced, or when a gateway comes back under another name or with its old disk."""
    world = begun(gateway("a", [1, 10], node_says={4: "unknown"}))
    decided(world, 4)
    assert world.states() == {4: "unknown"}
    assert world.details() == {""}

    world.gateways["b"] = gateway("b", [1, 4])
    world.report(world.gateways["b"])
    world.run(60)

    assert 4 in world.rows[KEY]


def test_an_old_gap_that_came_back_with_a_backup_hides_no_reading_that_is_kept() -> None:
    world = begun(gateway("a", range(1, 11)))
    world.lose([4])
    world.record(Gap(*KEY, 4, 4, "unknown"))

    world.run(2 * LOOK_S)

    assert 4 in world.rows[KEY]
    assert world.states() == {}


def test_what_was_accepted_as_lost_comes_back_with_the_gateway_that_was_off() -> None:
    world = begun(gateway("a", [1, 10]), gateway("b", [1, 4]))
    world.gateways["b"].is_deaf = True
    world.lose([4])
    world.record(Gap(*KEY, 4, 4, "lost", "accepted by an operator"))
    world.run(2 * HOUR_S)

    world.gateways["b"].is_deaf = False
    world.report(world.gateways["b"])
    world.run(HOUR_S)

    assert 4 in world.rows[KEY]


def test_what_was_given_up_is_asked_for_once_and_after_what_is_missing() -> None:
    world = begun(gateway("a", [1, *range(3, 11)]))
    world.record(Gap(*KEY, 2, 2, "lost"))
    world.record(Gap(*KEY, 4, 4, "void"))
    world.record(Gap(*KEY, 5, 5, "unknown", OLD_DETAIL))
    world.lose([2, 4, 5])

    world.run(5 * HOUR_S)

    assert [hole for ask in world.gateways["a"].questions for hole in ask.holes] == [Hole(*KEY, 2, 2, False)]
    assert world.states() == {2: "lost", 4: "void", 5: "unknown"}


def test_what_was_given_up_because_nobody_could_ask_the_node_is_open_again_when_somebody_can() -> None:
    """The first gateway is gone with its disk, and the witness is promoted a day later."""
    world = begun(gateway("a", [1, 10]), gateway("b", [1, 10], can_ask=False, node_says={4: "void"}))
    world.store([11], "b")
    del world.gateways["a"]
    decided(world, 4)
    assert world.states() == {4: "unknown"}
    assert world.details() == {f"{NODE_NOT_ASKED}; not asked: a"}

    world.gateways["b"].can_ask = True
    world.run(2 * HOUR_S)

    assert world.states() == {4: "void"}
    assert world.details() == {"not asked: a"}


def test_of_a_node_without_rows_what_its_gateway_had_is_lost_and_no_longer_waited_for() -> None:
    """The database was replaced, and an epoch is older than everything that is kept."""
    old = "7", 1
    world = begun(gateway("a", range(1, 11), can_ask=False), gateway("b", can_ask=False))
    world.gateways["a"].forgotten[old] = {1, 2, 4}
    world.gateways["b"].forgotten["8", 1] = {1}  # nobody has ever seen a row of this gateway
    world.connect()

    decided(world)

    assert world.states(old) == {1: "lost", 2: "lost", 3: "open", 4: "lost"}
    assert world.states(("8", 1)) == {}


def test_what_a_node_has_proved_to_a_gateway_counts_though_another_gateway_is_always_faster() -> None:
    other = "8", 1
    world = begun(gateway("first", node_says={8: "void"}), gateway("witness", {*range(1, 8), 9, 10}, can_ask=False))
    world.lose([8])
    world.rows[KEY] = dict.fromkeys(world.rows[KEY], "witness")
    world.store([1], "first", other)
    world.gateways["first"].held[other] = {1}

    decided(world)

    assert world.states() == {8: "void"}


def test_a_requested_audit_waits_for_the_gateways_and_asks_for_what_only_their_answer_shows() -> None:
    world = begun(gateway("a", range(1, 16)))
    world.gateways["a"].is_deaf = True
    world.lose(range(11, 16))
    world.audit.gateways["a"].numbers[KEY] = 1, 10  # the newest rows went with the database, and what was known of them
    world.audit.request(False, world.now_s)
    world.run(2.5 * QUICK_S)
    assert world.audit.take_result() is None

    world.gateways["a"].is_deaf = False
    world.report(world.gateways["a"], world.gateways["a"].answer(world.asks[-1][2])[0])  # late
    while (found := world.audit.take_result()) is None:
        world.step()

    assert found["mended"] == 5
    assert found["unanswered"] == 0


def test_the_work_of_looks_grows_with_the_holes_and_not_with_their_square() -> None:
    small, large = lines_of_looks(300), lines_of_looks(1200)

    assert large / small < 6  # with the square, 16


def lines_of_looks(holes: int) -> int:
    """Lines that the audit executes in looks at a table with so many scattered holes, which nobody fills."""
    world = begun(gateway("a", range(1, 2 * holes + 1)), rows=2 * holes)
    world.gateways["a"].is_deaf = True
    world.lose(range(2, 2 * holes, 2))
    lines = 0

    def count(frame: FrameType, event: str, argument: object) -> "TraceFunction | None":
        nonlocal lines
        lines += event == "line"
        return count if frame.f_globals["__name__"].startswith("aoii.server.") else None

    before = sys.gettrace()
    sys.settrace(count)
    try:
        world.run(3 * LOOK_S)
    finally:
        sys.settrace(before)
    assert len(world.states()) == holes - 1
    return lines
