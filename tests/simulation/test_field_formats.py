"""The forms of a field: exactly these are read, and anything else is one error that names the text."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.simulation.field_formats import (
    FieldError,
    bare_name,
    is_missing,
    parse_instant,
    parse_number,
    shown,
    unix_unit,
)  # fmt: skip

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20", 20.0), ("-0.5", -0.5), (" +24.80 ", 24.8), (".5", 0.5), ("5.", 5.0), ("1.248e1", 12.48),
        ("20,06", 20.06),
        ("20.5 °C", 20.5), ("20.5°C", 20.5), ("20.5 ℃", 20.5), ("20.5C", 20.5), ("50 %", 50.0), ("50%RH", 50.0),
    ],
)  # fmt: skip
def test_a_number_is_read_with_a_point_or_a_comma_and_with_its_unit(text: str, value: float) -> None:
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "2_0.5", "٢٠", "２０", "20.5.1", "1,000.5", "1.000,5", "0x14", "nan", "inf", "20 50", "warm", "20\0"]
)
def test_anything_else_is_no_number(text: str) -> None:
    with pytest.raises(FieldError, match="is not a number"):
        parse_number(text)


@pytest.mark.parametrize("text", ["68 °F", "68F", "293 K"])
def test_a_number_in_another_unit_is_an_error_that_says_so(text: str) -> None:
    with pytest.raises(FieldError, match="is not in °C or %RH"):
        parse_number(text)


@given(st.text(max_size=30))
def test_any_text_is_a_number_or_one_error(text: str) -> None:
    try:
        assert text.isascii() or parse_number(text) == parse_number(text)
    except FieldError as error:
        assert str(error).isprintable()  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("1729980000", "seconds"), ("1729980000.25", "seconds"), ("1729980000000", "milliseconds"),
        ("1729980000000000", "microseconds"), ("1729980000000000000", "nanoseconds"), ("20241026", None),
    ],
)  # fmt: skip
def test_the_unit_of_a_unix_time_follows_from_its_digits(text: str, unit: str | None) -> None:
    assert unix_unit(text) == unit
    if unit:
        assert int(parse_instant(text)) == 1729980000


def test_a_time_without_a_zone_is_utc_unless_a_zone_is_given_and_one_with_a_zone_keeps_it() -> None:
    utc = datetime(2026, 1, 1, tzinfo=UTC).timestamp()

    assert parse_instant("2026-01-01T00:00:00") == parse_instant("2026-01-01 00:00") == utc
    assert parse_instant("2026-01-01T09:00:00+09:00", BERLIN) == utc
    assert parse_instant("2026-01-01T00:00:00.123456789Z") == pytest.approx(utc + 0.123456)
    assert parse_instant("2025-12-31 16:00:00", timezone(-timedelta(hours=8))) == utc


def test_of_an_hour_that_a_clock_change_repeats_the_instant_is_the_first_after_the_one_before() -> None:
    first = datetime(2024, 10, 27, 0, 30, tzinfo=UTC).timestamp()

    assert parse_instant("2024-10-27 02:30", BERLIN) == first
    assert parse_instant("2024-10-27 02:30", BERLIN, not_before_s=first - 60) == first
    assert parse_instant("2024-10-27 02:30", BERLIN, not_before_s=first) == first + 3600


BEYOND = "0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00"  # in UTC they are in no year that can be written


@pytest.mark.parametrize(
    "text", ["", "yesterday", "31.12.2025 10:00", "12345", "２０２６-01-01", "0001-01-01\0", *BEYOND]
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(FieldError, match="is not a time such as"):
        parse_instant(text)


@pytest.mark.parametrize(
    ("name", "bare"),
    [
        ("Temperature", "temperature"), (" humidity ", "humidity"), ("temperature (°C)", "temperature"),
        ("Temperature [°C]", "temperature"), ("temperature_c", "temperature"), ("humidity %", "humidity"),
        ("humidity (% RH)", "humidity"), ("actual_t", "actual_t"), ("temperature (°F)", "temperature (°f)"),
    ],
)  # fmt: skip
def test_a_column_is_named_in_any_case_and_with_its_unit(name: str, bare: str) -> None:
    assert bare_name(name) == bare


def test_what_stands_for_no_value_and_how_a_text_is_shown() -> None:
    assert all(is_missing(text) for text in ("", " ", "NaN", "null", "N/A"))
    assert not is_missing("0")
    assert shown("a\0b") == r"'a\x00b'"
    assert shown("x" * 1000) == f"'{'x' * 40}'…"
