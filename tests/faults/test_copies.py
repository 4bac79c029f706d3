"""The figures of a trial that loses machines: each of them finds what it is there to find."""

import sqlite3
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pymysql
import pytest

from aoii.server.tables import migrate
from faults.copies import Copies, Places, look, unbalanced
from faults.recorder import Content, Key, Recorder
from server.samples import run_sql, sqlite_at

KEYS = [Key("7", 3, counter) for counter in range(1, 5)]
SAID = Content(2150, 4000)
WHOLE = Copies(
    rows={key: [SAID] for key in KEYS}, letters={}, outboxes={"first": set()}, kept={"first": set(KEYS)}, nodes=set(),
    gaps=[],
)  # fmt: skip


@pytest.fixture
def recorder() -> Recorder:
    """One that has heard the acknowledgements of all KEYS."""
    recorder = Recorder()
    for key in KEYS:
        recorder.note_sent(key, SAID)
        recorder.note_accepted(key)
    return recorder


def test_what_is_stored_and_kept_is_well(recorder: Recorder) -> None:
    count = WHOLE.count(recorder)

    assert (count.accepted, count.stored, count.dead_letters) == (4, 4, 0)
    assert (count.missing, count.duplicates, count.spurious, count.corrupt) == (0, 0, 0, 0)
    assert not WHOLE.missing(recorder)
    assert not WHOLE.single(recorder)
    assert not WHOLE.false_void(recorder)
    assert not WHOLE.under_way


@pytest.mark.parametrize("place", ["outboxes", "kept", "nodes"])
def test_a_copy_that_is_neither_row_nor_dead_letter_does_not_make_up_for_the_row(
    recorder: Recorder, place: str
) -> None:
    held: Any = {KEYS[0]} if place == "nodes" else {"first": {KEYS[0]}}
    copies = replace(WHOLE, rows={key: [SAID] for key in KEYS[1:]}, **{place: held})

    assert copies.missing(recorder) == {KEYS[0]}


def test_a_dead_letter_is_not_missing(recorder: Recorder) -> None:
    copies = replace(WHOLE, rows={key: [SAID] for key in KEYS[1:]}, letters={KEYS[0]: "bad_row"})

    assert not copies.missing(recorder)


def test_two_copies_on_one_disk_are_a_single_one(recorder: Recorder) -> None:
    rows = {key: [SAID] for key in KEYS[1:]}
    copies = replace(WHOLE, rows=rows, outboxes={"first": {KEYS[0]}})

    assert copies.single(recorder) == {KEYS[0]}
    assert not replace(copies, nodes={KEYS[0]}).single(recorder)
    kept = {"first": set(KEYS), "witness": {KEYS[0]}}
    assert not replace(copies, kept=kept, outboxes={"first": set(), "witness": set()}).single(recorder)


def test_a_void_number_is_false_only_if_a_node_saw_it_acknowledged(recorder: Recorder) -> None:
    copies = replace(WHOLE, gaps=[("7", 3, 2, 3, "void"), ("7", 3, 4, 4, "lost"), ("7", 3, 5, 90, "void")])

    assert copies.false_void(recorder) == {KEYS[1], KEYS[2]}
    assert copies.in_state("lost", KEYS) == {KEYS[3]}


def test_a_range_that_has_no_end_is_told_and_fills_no_memory(recorder: Recorder) -> None:
    copies = replace(WHOLE, gaps=[("7", 3, 4, 2**62, "lost"), ("8", 1, 1, 2**62, "unknown")])

    assert copies.in_state("lost", KEYS) == set(KEYS[3:])
    assert copies.beyond(recorder) == [
        f"4 to {2**62} of node 7, epoch 3, are called lost, and it has sent {KEYS[-1].counter}"
    ]


def test_forged_numbers_may_be_open_and_nothing_else(recorder: Recorder) -> None:
    beyond = KEYS[-1].counter + 1
    copies = replace(WHOLE, gaps=[("7", 3, beyond, 500, "open"), ("7", 3, 501, 502, "void")])

    assert len(copies.beyond(recorder)) == 2
    assert copies.beyond(recorder, may_be_open=True) == copies.beyond(recorder)[1:]


def test_readings_in_an_outbox_and_letters_that_wait_are_under_way(recorder: Recorder) -> None:
    assert "2 readings wait in the outbox of first" in replace(WHOLE, outboxes={"first": set(KEYS[:2])}).under_way
    assert "1 dead letters wait" in replace(WHOLE, letters={KEYS[0]: "database_away"}).under_way
    assert not replace(WHOLE, letters={KEYS[0]: "mismatch"}).under_way


def test_double_rows_and_rows_that_nobody_sent_or_said_so_are_counted(recorder: Recorder) -> None:
    rows = {KEYS[0]: [SAID, SAID], KEYS[1]: [Content(1, 1)], Key("8", 3, 1): [SAID], KEYS[2]: [SAID]}
    copies = replace(WHOLE, rows=rows, letters={KEYS[2]: "bad_row", KEYS[3]: "mismatch"})

    count = copies.count(recorder)

    assert (count.duplicates, count.corrupt, count.spurious, count.missing) == (2, 1, 1, 0)


def test_a_ledger_that_does_not_add_up_is_found(tmp_path: Path) -> None:
    settings = sqlite_at(tmp_path / "aoii.db")
    migrate(settings)
    gap = "INSERT INTO gaps VALUES ('7', 3, {}, {}, '{}', '', '2026-01-01')"
    run_sql(settings, gap.format(1, 4, "void"))
    assert unbalanced(settings, KEYS[:1]) == []

    run_sql(settings, gap.format(4, 5, "lost"))  # 4 is in two parts

    assert len(unbalanced(settings, KEYS[:1])) == 1


def test_a_disk_that_is_gone_and_tables_that_are_not_made_yet_hold_nothing(tmp_path: Path) -> None:
    def query(_: str) -> Iterable[tuple[Any, ...]]:
        raise pymysql.err.ProgrammingError(1146, "Table 'aoii.readings' doesn't exist")

    copies = look(Places(query, tmp_path / "letters.db", {"first": tmp_path / "gone"}, set))

    assert copies == Copies({}, {}, {"first": set()}, {"first": set()}, set(), [])


def test_every_place_is_looked_at(tmp_path: Path) -> None:
    def query(statement: str) -> Iterable[tuple[Any, ...]]:
        return [("7", 3, 9, 9, "open")] if "gaps" in statement else [(*KEYS[0], 21.5, 40.0)]

    for name, table, key in (("outbox.db", "events", KEYS[1]), ("kept.db", "kept", KEYS[2])):
        with sqlite3.connect(tmp_path / name) as connection:
            connection.execute(f"CREATE TABLE {table} (node TEXT, epoch INTEGER, counter INTEGER)")
            connection.execute(f"INSERT INTO {table} VALUES (?, ?, ?)", key)  # noqa: S608 - ours
    with sqlite3.connect(tmp_path / "letters.db") as connection:
        connection.execute("CREATE TABLE letters (node TEXT, epoch INTEGER, counter INTEGER, reason TEXT)")
        connection.execute("INSERT INTO letters VALUES (?, ?, ?, 'mismatch')", KEYS[3])

    copies = look(Places(query, tmp_path / "letters.db", {"first": tmp_path}, lambda: {Key("8", 3, 1)}))

    assert copies.rows == {KEYS[0]: [SAID]}
    assert (copies.outboxes, copies.kept) == ({"first": {KEYS[1]}}, {"first": {KEYS[2]}})
    assert (copies.letters, copies.nodes) == ({KEYS[3]: "mismatch"}, {Key("8", 3, 1)})
    assert copies.gaps == [("7", 3, 9, 9, "open")]
    assert copies.on_gateways() == {KEYS[1], KEYS[2]}
