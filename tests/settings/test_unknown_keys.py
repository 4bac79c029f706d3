"""Keys that are no settings: the setting that was meant is named, and keys of other programs are left alone."""

import re

import pytest

from aoii.settings import BY_NAME
from aoii.settings.unknown_keys import INSTEAD, remedy


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("MQTT_BORKER", "did you mean MQTT_BROKER?"),
        ("EDGE_PORT", "did you mean EDGE_LOG_PORT?"),
        ("mqtt_port", "did you mean MQTT_PORT?"),
        ("EDGE_SERIAL_PORT", "use EDGE_LOG_PORT"),
        ("EDGE_CSV_PATH", "use EDGE_LOG_CSV_FILE"),
        ("EDGE_DB", "remove it: `aoii edgelog` stores the log in the table edge_log of MYSQL_DATABASE"),
        ("MQTT_HOST", "use MQTT_BROKER"),
    ],
)
def test_a_key_that_was_meant_as_a_setting_says_which(key: str, said: str) -> None:
    assert remedy(key, BY_NAME) == (said, True)


@pytest.mark.parametrize(("key", "named"), [("SMTP_PORT", True), ("HOME_ASSISTANT", False)])
def test_any_other_key_is_named_too_and_is_no_fault(key: str, named: bool) -> None:
    advice = remedy(key, BY_NAME)

    assert advice is not None
    said, is_meant = advice
    assert not is_meant
    assert said.startswith("remove it, unless another program reads it")
    assert ("MQTT_PORT" in said) == named


@pytest.mark.parametrize(
    "key",
    [
        "COMPOSE_PROJECT_NAME", "GF_SECURITY_ADMIN_PASSWORD", "MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD",
        "MYSQL_ROOT_PASSWORD_FILE", "AOII_UID", "AOII_GID", "AOII_GRAFANA_PASSWORD", "DIALOUT_GID", "TZ", "PUID",
        "LC_ALL",
    ],
)  # fmt: skip
def test_a_key_of_a_program_beside_ours_is_left_alone(key: str) -> None:
    assert remedy(key, BY_NAME) is None


def test_no_setting_counts_as_a_key_of_another_program_or_of_an_older_one() -> None:
    assert [name for name in BY_NAME if remedy(name, BY_NAME) != (f"did you mean {name}?", True)] == []


def test_each_setting_that_is_advised_exists() -> None:
    advised = {name for text in INSTEAD.values() for name in re.findall(r"[A-Z]+_[A-Z_]+", text)}

    assert advised <= set(BY_NAME)
