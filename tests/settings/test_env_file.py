"""The form of a file of settings: a value is what stands there, and a line that cannot be taken so is a fault."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.settings.env_file import decode, look


def values(text: str) -> dict[str, str]:
    found, faults = decode(text, ".env", ())
    assert faults == []
    return {name: line.text for name, line in found.items()}


@pytest.mark.parametrize(
    "secret",
    [
        "pa #ss", "#", "pa#ss", "${HOME}", "$HOME", "$$", "'quoted'", '"quoted"', '""', "torn'", '"torn', "a=b=", "\\n",
        "ends in \\", "two  blanks", "tab\tinside", "a;b", "`id`", "한글", "\N{NO-BREAK SPACE}", "a\N{LINE SEPARATOR}b",
        "a\x0bb\x0cc\x1cd\x85e", "",
    ],
)  # fmt: skip
def test_a_value_is_what_stands_after_the_equals_sign(secret: str) -> None:
    assert values(f"A=before\nPASSWORD={secret}\nZ=after\n") == {"A": "before", "PASSWORD": secret, "Z": "after"}


@pytest.mark.parametrize("written", ["A=b", " A = b ", "\tA\t=\tb\t", "export A=b", "export\tA =b", "A=b\r"])
def test_blanks_at_both_ends_and_export_are_no_part_of_a_setting(written: str) -> None:
    assert values(written) == {"A": "b"}


def test_comments_and_empty_lines_are_left_out() -> None:
    assert values("# A=1\n\n  # B=2\n   \nC=3") == {"C": "3"}


def test_a_byte_order_mark_and_the_line_ends_of_windows_are_accepted() -> None:
    assert values("\ufeffA=1\r\n# comment\r\n\r\nB=2\r\n") == {"A": "1", "B": "2"}


@pytest.mark.parametrize("line", ["MQTT_PORT", "'torn", "words of a comment", "=5", "A: 5", "a b=5", "1A=5"])
def test_a_line_that_is_no_setting_is_a_fault_with_its_number(line: str) -> None:
    found, faults = decode(f"\n# ours\nA=1\n{line}\nB=2\n", ".env", ())

    assert [str(fault) for fault in faults] == [
        ".env: line 4 is not a setting; write NAME=value, or # before a comment"
    ]
    assert list(found) == ["A", "B"]


@pytest.mark.parametrize(
    ("line", "what"), [("A=1\rB=2", "carriage return"), ("A=1\0", "NUL"), ("# A=1\rB=2", "carriage return")]
)
def test_a_line_that_cannot_be_taken_literally_is_a_fault_with_its_number(line: str, what: str) -> None:
    found, (fault,) = decode(f"Z=0\n{line}\n", ".env", ())

    assert str(fault) == f".env: line 2 has a {what} in it; save the file as plain text, with one setting a line"
    assert list(found) == ["Z"]


def test_a_setting_that_is_set_twice_is_a_fault_and_another_key_is_not() -> None:
    found, (fault,) = decode("PORT=1\nTHEIRS=1\nPORT=2\nTHEIRS=2\n", ".env", {"PORT"})

    assert str(fault) == ".env: line 3 sets PORT again, after line 1; keep one of the two"
    assert found["THEIRS"].text == "2"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ('"/var/lib/aoii"', "is in quotes"),
        ("'/var/lib/aoii'", "is in quotes"),
        ('""', "is in quotes"),
        ("/var/lib/aoii # the data", "has a # after a blank"),
        ("${HOME}/aoii", "has a ${"),
    ],
)
def test_a_value_that_an_earlier_version_took_otherwise_is_recognized(text: str, state: str) -> None:
    looks = look(text)

    assert looks is not None
    assert looks[0] == state


@pytest.mark.parametrize("text", ["", '"', "\"a'", "a#b", "#a", "$HOME", "it's", "/dev/ttyUSB0"])
def test_a_value_that_was_always_taken_literally_is_not(text: str) -> None:
    assert look(text) is None


@given(st.text())
def test_any_text_is_settings_and_faults(text: str) -> None:
    found, faults = decode(text, ".env", ())

    numbers = {line.number for line in found.values()} | {int(fault.name.removeprefix("line ")) for fault in faults}
    assert numbers <= set(range(1, text.count("\n") + 2))


@given(st.text().filter(lambda text: text == text.strip(" \t") and not set(text) & {"\n", "\r", "\0"}))
def test_any_text_of_one_line_is_read_as_it_was_written(text: str) -> None:
    assert values(f"SECRET={text}\n") == {"SECRET": text}
