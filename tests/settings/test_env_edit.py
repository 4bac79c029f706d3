"""A file of settings is changed where it has to be, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.settings import env_file
from aoii.settings.env_edit import edited, writable

NAMES = ("MQTT_PORT", "MYSQL_PASSWORD", "SERIAL_PORT", "SMTP_HOST")


def test_comments_unknown_keys_and_the_order_of_lines_stay() -> None:
    text = "# mine\nSMTP_HOST=mail\n\nMQTT_PORT=1883\n  # indented\nGATEWAY_ID = attic\n"

    changed = edited(text, {"MQTT_PORT": "8883", "SERIAL_PORT": "/dev/ttyUSB1"})

    assert changed == (
        "# mine\nSMTP_HOST=mail\n\nMQTT_PORT=8883\n  # indented\nGATEWAY_ID = attic\nSERIAL_PORT=/dev/ttyUSB1\n"
    )


def test_a_value_that_is_there_already_changes_nothing() -> None:
    text = "export GATEWAY_ID =  attic  \r\nMQTT_PORT=1883"

    assert edited(text, {"GATEWAY_ID": "attic", "MQTT_PORT": "1883", "WEB_TOKEN": None}) == text


@pytest.mark.parametrize(
    ("text", "values", "changed"),
    [
        ("A=1\r\nMQTT_PORT=1\r\n", {"MQTT_PORT": "2", "PORT": "3"}, "A=1\r\nMQTT_PORT=2\r\nPORT=3\r\n"),
        ("MQTT_PORT=1", {"PORT": "3"}, "MQTT_PORT=1\nPORT=3\n"),
        ("\ufeffMQTT_PORT=1\n", {"MQTT_PORT": "2"}, "\ufeffMQTT_PORT=2\n"),
        ("export MQTT_PORT=1\n", {"MQTT_PORT": "2"}, "export MQTT_PORT=2\n"),
        ("#PORT=5001\n#MQTT_PORT=1883\n# end\n", {"PORT": "3"}, "#PORT=5001\nPORT=3\n#MQTT_PORT=1883\n# end\n"),
        ("A=1\nMQTT_PORT=1\nB=2\n", {"MQTT_PORT": None}, "A=1\nB=2\n"),
        ("", {"MYSQL_PASSWORD": "a=#$ \\'"}, "MYSQL_PASSWORD=a=#$ \\'\n"),
    ],
)
def test_a_line_is_changed_added_or_removed(text: str, values: dict[str, str | None], changed: str) -> None:
    assert edited(text, values) == changed


@given(
    st.lists(st.sampled_from(["# c", "", "MQTT_PORT=1", "SMTP_HOST=x ", "\tMYSQL_PASSWORD= é", "junk"]), max_size=6),
    st.dictionaries(st.sampled_from(NAMES), st.text(max_size=8).filter(writable)),
    st.sampled_from(["\n", "\r\n"]),
)
def test_what_is_written_is_what_is_read(lines: list[str], values: dict[str, str], end: str) -> None:
    before = end.join(lines)

    after = edited(before, dict(values))
    found, _ = env_file.decode(after, "x", ())
    was, _ = env_file.decode(before, "x", ())

    assert {name: line.text for name, line in found.items()} == {name: line.text for name, line in was.items()} | values
    assert edited(after, dict(values)) == after
    assert after.count("# c") == before.count("# c")
