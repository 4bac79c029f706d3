"""The ledger: every number is in one part, and what is in two or in none is seen."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from aoii.server import ranges
from aoii.server.gap import Gap, GapState
from aoii.server.ledger import PARTS, Account, Facts, account, account_up_to, accounts_by_day

STATES: tuple[GapState, ...] = ("open", "void", "unknown", "lost", "retired")
NUMBERS = st.sets(st.integers(1, 30))


def facts_of(
    stored: Iterable[int],
    gaps: Iterable[tuple[int, int, GapState]] = (),
    letters: Iterable[int] = (),
    *,
    floor: int | None = None,
    high: int = -1,
    epoch: int = 1,
    ends: Iterable[int] = (),
) -> Facts:
    """Facts as they are read: rows above the floor in pieces, one of them up to each of `ends`, and the holes below."""
    first = 0 if epoch >= 65536 else 1
    low = first - 1 if floor is None else floor
    rows = sorted(number for number in stored if number > low)
    pieces = sorted({*ends, *rows[-1:]})
    counts = [
        (end, sum(before < row <= end for row in rows)) for before, end in zip([-1, *pieces], pieces, strict=False)
    ]
    holes = [(n, n) for n in range(low + 1, max(rows, default=low) + 1) if n not in rows]
    found = [Gap("7", epoch, *gap) for gap in sorted(gaps)]
    return Facts("7", epoch, low, [one for one in counts if one[1]], ranges.united(holes), found, set(letters), high)


def parts(one: Account) -> dict[str, int]:
    """The parts that are not empty."""
    return {name: value for name in PARTS if (value := getattr(one, name))}


def test_every_number_is_in_one_part() -> None:
    facts = facts_of([4, 5, 9, 14], [(6, 6, "void"), (7, 8, "unknown"), (10, 10, "lost"), (11, 11, "open")], [12],
                     floor=2, high=16)  # fmt: skip

    found = account(facts)

    assert (found.first, found.last, found.is_balanced) == (1, 16, True)
    assert parts(found) == {
        "stored": 4, "dead_letters": 1, "void": 1, "waiting": 4, "open": 1, "unknown": 2, "lost": 1, "retired": 2,
    }  # fmt: skip


def test_a_row_overrides_a_gap_and_a_letter_and_a_letter_overrides_a_gap() -> None:
    found = account(facts_of([1, 2], [(1, 5, "lost")], [2, 3]))

    assert parts(found) == {"stored": 2, "dead_letters": 1, "lost": 2}
    assert found.is_balanced


def test_up_to_the_floor_everything_is_retired() -> None:
    found = account(facts_of([1, 2, 9], [(3, 7, "lost")], [4, 8], floor=6))

    assert parts(found) == {"stored": 1, "dead_letters": 1, "lost": 1, "retired": 6}
    assert found.is_balanced


def test_old_nodes_count_from_0() -> None:
    assert parts(account(facts_of([1], epoch=65536))) == {"waiting": 1, "stored": 1}
    assert parts(account(facts_of([1], epoch=65535))) == {"stored": 1}


def test_a_node_of_which_nothing_is_known_but_a_report_waits() -> None:
    found = account(facts_of([], high=3))

    assert (found.last, parts(found)) == (3, {"waiting": 3})


def test_gaps_that_overlap_do_not_balance() -> None:
    assert not account(facts_of([9], [(1, 5, "lost"), (5, 8, "lost")])).is_balanced
    assert not account(facts_of([9], [(1, 8, "lost"), (3, 4, "void")])).is_balanced


def test_a_row_that_is_counted_twice_does_not_balance() -> None:
    facts = facts_of([1, 2, 3])

    assert not account(replace(facts, rows=[(3, 4)])).is_balanced


@st.composite
def any_facts(draw: st.DrawFn) -> tuple[set[int], dict[int, GapState], set[int], int, int]:
    bounds = sorted(draw(st.sets(st.integers(1, 30), max_size=12)))
    gaps: dict[int, GapState] = {}
    for first, last in zip(bounds[::2], bounds[1::2], strict=False):
        gaps |= dict.fromkeys(range(first, last + 1), draw(st.sampled_from(STATES)))
    return draw(NUMBERS), gaps, draw(NUMBERS), draw(st.integers(0, 12)), draw(st.integers(-1, 30))


@given(any_facts(), st.sets(st.integers(1, 30), max_size=4))
def test_the_parts_are_those_that_counting_number_by_number_gives(
    drawn: tuple[set[int], dict[int, GapState], set[int], int, int], some: set[int]
) -> None:
    stored, gaps, letters, floor, high = drawn
    pieces = [(number, number, state) for number, state in gaps.items()]
    ends = sorted(some & {number for number in stored if number > floor})
    facts = facts_of(stored, pieces, letters, floor=floor, high=high, ends=ends)
    last = max(0, floor, high, *letters, *gaps, *(number for number in stored if number > floor))

    def part(number: int) -> str:
        if number <= floor:
            return "retired"
        if number in stored:
            return "stored"
        return "dead_letters" if number in letters else gaps.get(number, "waiting")

    found = account(facts)

    expected = [part(number) for number in range(1, last + 1)]
    assert found.last == last
    assert {name: getattr(found, name) for name in PARTS} == {name: expected.count(name) for name in PARTS}
    assert found.is_balanced
    for end in (*ends, last):
        some_of_it = account_up_to(facts, end)
        assert {name: getattr(some_of_it, name) for name in PARTS} == {
            name: expected[:end].count(name) for name in PARTS
        }
    days = [(date(2026, 1, number), end) for number, end in enumerate(ends, 1)]
    by_day = list(accounts_by_day(facts, days))
    assert all(one.is_balanced for one in by_day)
    for name in PARTS:
        assert sum(getattr(one, name) for one in by_day) == getattr(found, name)


def test_a_number_belongs_to_the_day_of_the_next_row() -> None:
    facts = facts_of([1, 2, 5, 8], [(3, 4, "void"), (6, 6, "lost")], high=10, ends=[2, 5, 8])
    days = [(date(2026, 1, 1), 2), (date(2026, 1, 2), 5), (date(2026, 1, 4), 8)]

    found = list(accounts_by_day(facts, days))

    assert [(str(one.day), one.first, one.last, parts(one)) for one in found] == [
        ("2026-01-01", 1, 2, {"stored": 2}),
        ("2026-01-02", 3, 5, {"stored": 1, "void": 2}),
        ("2026-01-04", 6, 8, {"stored": 1, "lost": 1, "waiting": 1}),
        ("None", 9, 10, {"waiting": 2}),
    ]


def test_a_row_with_a_wrong_date_moves_no_other_row() -> None:
    """The clock that dated row 2 was a year ahead: the row counts with the rows beside it."""
    facts = facts_of([1, 2, 3], ends=[1, 2, 3])
    days = [(date(2026, 1, 1), 1), (date(2026, 1, 2), 3), (date(2027, 1, 1), 2)]

    assert [(one.first, one.last) for one in accounts_by_day(facts, days)] == [(1, 1), (2, 3)]
