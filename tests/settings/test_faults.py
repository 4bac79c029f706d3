"""Faults of settings say where, what and what to do, and are reported together."""

import pytest

from aoii.settings.faults import Fault, SettingsError


@pytest.mark.parametrize(
    ("origin", "name", "problem"),
    [
        (".env", "MQTT_PORT", '.env: MQTT_PORT is "fast"'),
        ("", "MQTT_PORT", 'MQTT_PORT is "fast"'),
        (".env", "", '.env: is "fast"'),
    ],
)
def test_a_fault_says_where_and_what_and_then_the_remedy(origin: str, name: str, problem: str) -> None:
    fault = Fault(origin, name, 'is "fast"', "use a whole number such as 1883")

    assert fault.problem == problem
    assert str(fault) == f"{problem}; use a whole number such as 1883"


def test_settings_that_are_wrong_are_reported_together() -> None:
    faults = [Fault("", name, "is empty", "set it") for name in ("A", "B")]

    error = SettingsError(faults)

    assert error.faults == tuple(faults)
    assert str(error) == "A is empty; set it\nB is empty; set it"
