"""Numbers in the texts of peers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.runtime.numerals import decimal, whole


@pytest.mark.parametrize(
    ("text", "value"),
    [("21.50", 21.5), ("-3", -3.0), ("+24.80", 24.8), ("1.248e1", 12.48), ("1E-2", 0.01), (".5", 0.5), ("5.", 5.0)],
)
def test_numerals_of_ascii_are_numbers(text: str, value: float) -> None:
    assert decimal(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "2_1.50", "٢١", "２１", "nan", "inf", "-infinity", "0x1p3", "1,5", "1e", "e", "+-1", "1e5.0", "-"],
)
def test_anything_else_is_not_a_decimal_number(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says does not matter
        decimal(text)


@pytest.mark.parametrize("text", ["", "+1", "-1", " 1", "1_0", "١", "²", "1.0", "1e3", "9" * 5000])
def test_a_whole_number_has_digits_only(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says does not matter
        whole(text)


def test_zeros_in_front_and_large_numbers_are_whole() -> None:
    assert (whole("007"), whole("4294967296")) == (7, 2**32)
    assert decimal("1e999") == math.inf


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 10**30))
def test_what_python_prints_is_read(number: float, count: int) -> None:
    assert decimal(repr(number)) == number
    assert whole(str(count)) == count


@given(st.text(max_size=12))
def test_any_text_is_a_number_of_ascii_or_an_error(text: str) -> None:
    for parse in (decimal, whole):
        try:
            parse(text)
        except ValueError:
            continue
        assert text.isascii()
        assert "_" not in text
        assert text == text.strip()
