"""`aoii lab convert`: the plain form of recordings, with the choices that a file leaves open."""

import gzip
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from aoii.commands.lab.arguments import zone
from aoii.commands.main import main
from aoii.simulation import recordings

HEADER = "timestamp,temperature,humidity\n"
CLOCK_CHANGE = datetime(2024, 10, 27, 1, tzinfo=UTC)  # in Berlin, from 3:00 to 2:00


def night(zone_of_file: ZoneInfo) -> str:
    """Ten hours around a clock change, a row every ten minutes, in local time without a zone."""
    instants = [CLOCK_CHANGE + timedelta(minutes=10 * step) for step in range(-30, 30)]
    local = [at.astimezone(zone_of_file).strftime("%Y-%m-%d %H:%M:%S") for at in instants]
    return HEADER + "".join(f"{at},{20 + step / 100:.2f},50\n" for step, at in enumerate(local))


def convert(path: Path, *words: str) -> int:
    return main(["lab", "convert", str(path), *words])


def test_a_night_in_local_time_is_what_it_was_in_utc(tmp_path: Path) -> None:
    local, utc = tmp_path / "local.csv", tmp_path / "utc.csv"
    local.write_text(night(ZoneInfo("Europe/Berlin")))
    utc.write_text(night(ZoneInfo("UTC")))

    assert convert(local) == 2
    assert convert(local, "--zone", "Europe/Berlin", "--out", str(tmp_path / "a.csv")) == 0
    assert convert(utc, "--out", str(tmp_path / "b.csv")) == 0

    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()
    assert (tmp_path / "a.csv").read_text().splitlines()[1] == "2024-10-26T20:00:00Z,20.00,50.00"


def test_what_is_written_is_read_again_without_a_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "old.csv", tmp_path / "deep" / "plain.csv.gz"
    rows = [f"{second};{node};{second % 7},5 °C;\n" for second in range(1767225600, 1767226200, 60) for node in "ba"]
    rows += [f"{second};{node};{second % 7},5 °C;50\n" for second in range(1767226200, 1767226500, 60) for node in "ba"]
    source.write_text("Timestamp;Node;Temperature;Humidity\n" + "".join(rows))

    assert convert(source, "--gaps", "--out", str(out)) == 0
    said = capsys.readouterr()
    b, a = recordings.parse(out, pytest.fail)

    assert "20 row(s) lack a value and leave a gap" in said.err
    assert said.out.splitlines()[0] == "b: 5 rows, 2026-01-01T00:10:00Z to 2026-01-01T00:14:00Z"
    assert {b.node, a.node} == {"a", "b"}
    assert len(a) == len(b) == 5
    assert gzip.decompress(out.read_bytes()).splitlines()[0] == b"timestamp,node,temperature,humidity"


def test_one_of_the_rows_at_an_instant_is_kept(tmp_path: Path) -> None:
    source, out = tmp_path / "twice.csv", tmp_path / "out.csv"
    source.write_text(HEADER + "".join(f"2026-01-01 00:0{m},{t},50\n" for m in range(3) for t in (20, 21)))

    assert convert(source, "--repeats", "last", "--out", str(out)) == 0

    assert [line.split(",")[1] for line in out.read_text().splitlines()[1:]] == ["21.00"] * 3


@pytest.mark.parametrize(
    ("text", "zone_"),
    [
        ("UTC-8", timezone(-timedelta(hours=8))),
        ("+05:30", timezone(timedelta(hours=5, minutes=30))),
        ("Asia/Seoul", ZoneInfo("Asia/Seoul")),
    ],
)
def test_a_zone_is_a_name_or_a_distance(text: str, zone_: timezone) -> None:
    assert zone(text) == zone_


@pytest.mark.parametrize("text", ["", "Mars", "Europe", "/etc/passwd", "../UTC", "UTC-25", "UTC-8\0"])
def test_any_other_text_is_no_zone(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a zone such as"):
        zone(text)


@pytest.mark.parametrize(
    ("words", "message"), [([""], "the name is empty"), (["x.csv", "--out", ""], "is not a file; name one")]
)
def test_an_empty_name_is_refused(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["lab", "convert", *words])

    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.csv"
    source.write_text(HEADER + "2026-01-01 00:00,20,50\n2026-01-01 00:01,20,50\n")

    assert convert(source, "--out", "/dev/null/x.csv") == 2
    assert "cannot be written (" in capsys.readouterr().err


def test_rows_written_twice_in_the_hour_that_a_clock_change_repeats_stay_in_their_hour(tmp_path: Path) -> None:
    once, twice = tmp_path / "once.csv", tmp_path / "twice.csv"
    once.write_text(night(ZoneInfo("Europe/Berlin")))
    header, *rows = once.read_text().splitlines(keepends=True)
    twice.write_text(header + "".join(row * 2 for row in rows))

    assert convert(once, "--zone", "Europe/Berlin", "--out", str(tmp_path / "a.csv")) == 0
    assert convert(twice, "--zone", "Europe/Berlin", "--repeats", "first", "--out", str(tmp_path / "b.csv")) == 0

    assert (tmp_path / "b.csv").read_text() == (tmp_path / "a.csv").read_text()
