"""Recordings: strict reading, gaps kept, and the shipped day."""

import gzip
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core.errors import InputError
from aoii.simulation import recordings
from aoii.simulation.recordings import Series, replay_samples

HEADER = "timestamp,temperature,humidity\n"
GAPPY = Series("x", 0.0, 60.0, (0, 1, 4), ("a", "b", "c"), (100, 200, 300), (1, 2, 3))


def write(folder: Path, text: str) -> Path:
    path = folder / "recording.csv"
    path.write_text(text)
    return path


def test_the_shipped_day_is_one_reading_a_minute() -> None:
    (day,) = recordings.parse()

    assert (len(day), day.interval_s, day.span_s) == (1440, 60.0, 86400.0)
    assert (day.temperature_c[0], day.humidity_c[0], day.start_unix_s) == (-760, 5270, 1451606400.0)


def test_a_gap_stays_a_gap(tmp_path: Path) -> None:
    rows = [0, 1, 2, 7, 8]
    text = HEADER + "".join(f"2026-01-01T00:0{minute}:00,20.00,40\n" for minute in rows)

    (series,) = recordings.parse(write(tmp_path, text))

    assert series.slots == (0, 1, 2, 7, 8)


def test_a_logger_whose_clock_drifts_has_no_gaps(tmp_path: Path) -> None:
    rows = [
        f"2026-01-01T{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02},20,40\n"
        for s in (60 * k + k // 3 for k in range(400))
    ]

    (series,) = recordings.parse(write(tmp_path, HEADER + "".join(rows)))

    assert series.slots == tuple(range(400))
    assert series.timestamps[3] == "2026-01-01T00:03:01"


def test_nodes_are_kept_apart_and_sorted_by_time(tmp_path: Path) -> None:
    text = "timestamp,node,temperature,humidity\n"
    text += "".join(f"2026-01-01T00:0{minute}:00+00:00,{node},{minute}.5,40\n" for minute in (2, 0, 1) for node in "ab")

    a, b = recordings.parse(write(tmp_path, text))

    assert (a.node, b.node) == ("a", "b")
    assert a.temperature_c == (50, 150, 250)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lacks timestamp, temperature, humidity"),
        ("time,temperature,humidity\n", "lacks timestamp"),
        (HEADER, "has no rows"),
        (HEADER + "2026-01-01,1,2\n", "one row only"),
        (HEADER + "2026-01-01,1,2\n2026-01-01,1,2\n", "1 of 2 rows repeat an instant"),
        (HEADER + "yesterday,1,2\n", ":2: "),
        (HEADER + "2026-01-01,warm,2\n", ":2: "),
        (HEADER + "2026-01-01,nan,2\n", "temperature is nan"),
        (HEADER + "2026-01-01,1\n", ":2: "),
        (HEADER + "2026-01-01,1000,2\n", "out of range"),
    ],
)
def test_a_malformed_recording_is_an_error_that_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(InputError, match=message) as caught:
        recordings.parse(path)
    assert str(path) in str(caught.value)


TORN = gzip.compress(HEADER.encode(), mtime=0)[:-9]  # without the time, so that every process names the case alike


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", TORN])
def test_a_file_that_is_not_text_or_not_gzip_is_an_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("recording.csv.gz" if content.startswith(b"\x1f\x8b") else "recording.csv")
    path.write_bytes(content)

    with pytest.raises(InputError, match="cannot be read"):
        recordings.parse(path)


@given(content=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: (HEADER + text).encode()))
def test_any_file_is_a_recording_or_an_input_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("any") / "recording.csv"
    path.write_bytes(content)

    try:
        assert all(len(series) >= 2 for series in recordings.parse(path))
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right


def test_what_a_user_should_know_is_said_with_the_name_of_the_file(tmp_path: Path) -> None:
    path, said = write(tmp_path, HEADER + "1767225600,1,2\n1767225660,1,2\n,,\n"), list[str]()

    recordings.parse(path, said.append)

    assert said == [
        f"{path.name}: 1 row(s) without a value are left out",
        f"{path.name}: 2 time(s) are in Unix seconds",
    ]


def test_the_recording_begins_again_after_its_end_and_a_gap_stays_a_gap() -> None:
    samples = list(islice(replay_samples(GAPPY, 0, 0, 60), 5))

    assert samples == [(0, (100, 1)), (60, (200, 2)), (240, (300, 3)), (300, (100, 1)), (360, (200, 2))]


def test_a_node_may_begin_at_any_row_and_moment() -> None:
    samples = list(islice(replay_samples(GAPPY, 2, 7, 60), 3))

    assert samples == [(7, (300, 3)), (67, (100, 1)), (127, (200, 2))]
