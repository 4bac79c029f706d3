"""Gaps: exactly the numbers that were named change, and nothing else; on both engines."""

import threading
import time
from collections.abc import Iterator

import pytest

from aoii.server.connection import ConnectionPool, open_pool
from aoii.server.db import open_database
from aoii.server.gaps import DETAIL_LIMIT, Gap, Gaps, GapState
from aoii.settings import Database as DatabaseSettings
from server.samples import run_sql


@pytest.fixture
def pool(place: DatabaseSettings) -> Iterator[ConnectionPool]:
    open_database(place, migrate=True).close()
    pool = open_pool(place, create=False)
    yield pool
    pool.close()


def gap(first: int, last: int, state: GapState = "open", detail: str = "", node: str = "7", epoch: int = 1) -> Gap:
    return Gap(node, epoch, first, last, state, detail)


def test_a_part_that_is_recorded_is_cut_out_of_an_older_gap(pool: ConnectionPool) -> None:
    gaps = Gaps(pool)
    gaps.record([gap(10, 20), gap(10, 20, node="8")])

    gaps.record([gap(12, 14, "void")])

    seven = [gap(10, 11), gap(12, 14, "void"), gap(15, 20)]
    assert gaps.all("7") == seven
    assert gaps.all() == [*seven, gap(10, 20, node="8")]


def test_numbers_that_are_cleared_are_in_no_gap(pool: ConnectionPool) -> None:
    gaps = Gaps(pool)
    gaps.record([gap(10, 20), gap(30, 40, "lost")])

    gaps.clear([("7", 1, 15, 32), ("7", 1, 99, 100), ("7", 2, 10, 20)])

    assert gaps.all() == [gap(10, 14), gap(33, 40, "lost")]


def test_neighbours_of_equal_state_and_detail_become_one(pool: ConnectionPool) -> None:
    gaps = Gaps(pool)
    gaps.record([gap(1, 3, "void"), gap(7, 9, "void"), gap(10, 11, "void", "else")])

    gaps.record([gap(4, 6, "void")])

    assert gaps.all() == [gap(1, 9, "void"), gap(10, 11, "void", "else")]


def test_what_is_recorded_again_keeps_its_time(pool: ConnectionPool, place: DatabaseSettings) -> None:
    gaps = Gaps(pool)
    gaps.record([gap(10, 20)])
    run_sql(place, "UPDATE gaps SET found_at = '2020-01-01 00:00:00.000000'")

    gaps.record([gap(12, 30)])

    assert [(int(str(first)), str(at)[:4]) for first, at in run_sql(place, "SELECT first, found_at FROM gaps")] == [
        (10, "2020")
    ]
    assert gaps.all() == [gap(10, 30)]


def test_gaps_that_overlap_or_end_before_they_begin_are_refused(pool: ConnectionPool) -> None:
    gaps = Gaps(pool)

    with pytest.raises(ValueError, match="overlaps"):
        gaps.record([gap(5, 9), gap(1, 5, "void")])
    with pytest.raises(ValueError, match="ends before"):
        gaps.record([gap(5, 4)])

    assert gaps.all() == []


def test_a_long_detail_is_cut_and_nodes_are_told_apart_by_case(pool: ConnectionPool) -> None:
    gaps = Gaps(pool)

    gaps.record([gap(1, 1, "lost", "x" * 999, node="a"), gap(1, 1, "void", node="A")])

    assert [(one.node, len(one.detail)) for one in gaps.all()] == [("A", 0), ("a", DETAIL_LIMIT)]


def test_thousands_of_gaps_are_recorded_in_a_moment(pool: ConnectionPool) -> None:
    gaps = Gaps(pool)
    many = [gap(10 * number, 10 * number + 5) for number in range(20_000)]
    started = time.monotonic()

    gaps.record(many)
    gaps.record([gap(10 * number + 1, 10 * number + 2, "void") for number in range(20_000)])
    gaps.clear([("7", 1, 0, 10**6)])

    assert gaps.all() == []
    assert time.monotonic() - started < 60  # 5 s; quadratic work would take many minutes


def test_processes_that_change_gaps_of_one_node_at_once_lose_nothing(
    pool: ConnectionPool, place: DatabaseSettings
) -> None:
    def record_every_fourth(begin: int) -> None:
        mine = open_pool(place, create=False)
        for number in range(begin, 100, 4):
            Gaps(mine).record([gap(number * 2, number * 2, "void")])
        mine.close()

    threads = [threading.Thread(target=record_every_fourth, args=(begin,)) for begin in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [one.first for one in Gaps(pool).all()] == [number * 2 for number in range(100)]
