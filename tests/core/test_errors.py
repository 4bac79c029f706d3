"""Errors: one root, facts as attributes, and messages that say what to do."""

import pytest

from aoii.core import errors
from aoii.core.errors import AoiiError, Fault, InputError, ProtocolError, SettingsError, UnavailableError


def test_every_error_has_the_one_root() -> None:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]

    assert len(found) == 6
    assert all(issubclass(error, AoiiError) for error in found)


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


def test_a_protocol_error_has_a_reason_for_the_label_and_a_detail_for_a_person() -> None:
    assert (str(ProtocolError("json", "no object")), ProtocolError("json", "no object").reason) == ("no object", "json")
    assert str(ProtocolError("json")) == "json"


@pytest.mark.parametrize("error", [AoiiError, InputError, UnavailableError])
def test_an_error_says_what_happened_and_what_to_do(error: type[AoiiError]) -> None:
    raised = error("port 5001 is in use", "set PORT to a free one")

    assert (raised.problem, raised.remedy) == ("port 5001 is in use", "set PORT to a free one")
    assert str(raised) == "port 5001 is in use; set PORT to a free one"


def test_an_error_without_a_remedy_is_its_problem_alone() -> None:
    raised = InputError("nothing to replay")

    assert (raised.problem, raised.remedy, str(raised)) == ("nothing to replay", "", "nothing to replay")
