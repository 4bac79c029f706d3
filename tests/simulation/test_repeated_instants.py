"""Repeated instants: a few are samples of their own and said, many are refused with the cause that is likely."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.simulation import recordings
from aoii.simulation.recording_rows import AS_THEY_ARE, Choices
from aoii.simulation.repeated_instants import REMEDY

HEADER = "timestamp,temperature,humidity\n"
MIDNIGHT = 1767225600
PLAIN = [(minute, 2000 + minute) for minute in range(400)]  # minute and reading of each row


def lines(rows: list[tuple[int, int]]) -> str:
    times = [datetime.fromtimestamp(MIDNIGHT + 60 * minute, UTC).strftime("%Y-%m-%d %H:%M") for minute, _ in rows]
    return HEADER + "".join(f"{at},{reading / 100:.2f},50\n" for at, (_, reading) in zip(times, rows, strict=True))


def minutes(folder: Path, text: str, choices: Choices = AS_THEY_ARE) -> tuple[list[int], list[str]]:
    """The minute of each row that is kept, and what was said."""
    path, said = folder / "r.csv", list[str]()
    path.write_text(text)
    (rows,) = recordings.rows_by_node(path, choices, said.append).values()
    return [int(row.unix_s - MIDNIGHT) // 60 for row in rows], said


CLOCK_CHANGE = [*PLAIN[:120], *((minute - 60, reading) for minute, reading in PLAIN[120:])]
TWO_SENSORS = [pair for minute, reading in PLAIN for pair in ((minute, reading), (minute, reading - 900))]
TWICE = [row for row in PLAIN for _ in (1, 2)]
SOME_TWICE = [row for row in PLAIN for _ in range(1 + (row[0] % 3 == 0))]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (CLOCK_CHANGE, "60 of 400 rows .*first in line 122 .*probably local time over a clock change"),
        (TWO_SENSORS, "400 of 800 rows .*first in line 3 .*probably two sensors in one file"),
        (TWICE, "400 of 800 rows .*probably rows that were written twice"),
        (SOME_TWICE, "134 of 534 rows .*probably rows that were written twice"),
    ],
)
def test_many_are_refused_with_their_number_the_likely_cause_and_the_options(
    tmp_path: Path, rows: list[tuple[int, int]], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        minutes(tmp_path, lines(rows))

    assert caught.value.remedy == REMEDY


def test_a_few_are_samples_of_their_own_and_said(tmp_path: Path) -> None:
    kept, said = minutes(tmp_path, lines([*PLAIN[:200], PLAIN[199], *PLAIN[200:]]))

    assert len(kept) == 401
    assert "1 of 401 rows repeat an instant, first in line 202" in said[0]
    assert "Each counts as a sample of its own" in said[0]


@pytest.mark.parametrize(("keep", "reading"), [("first", 2000), ("last", 1100)])
def test_one_of_them_is_kept_by_choice(tmp_path: Path, keep: str, reading: int) -> None:
    path, said = tmp_path / "r.csv", list[str]()
    path.write_text(lines(TWO_SENSORS))

    (rows,) = recordings.rows_by_node(path, Choices(repeats=keep), said.append).values()

    assert (len(rows), rows[0].temperature_c) == (400, reading)
    assert said == [f"{path.name}: 400 of 800 rows repeat an instant; the {keep} is kept"]
