"""Errors carry what happened and what to do as fields; their message has both."""

import pytest

from aoii.core.errors import AoiiError, Fault, InputError, SettingsError, UnavailableError


@pytest.mark.parametrize("error", [AoiiError, InputError, UnavailableError])
def test_an_error_says_what_happened_and_what_to_do(error: type[AoiiError]) -> None:
    raised = error("port 5001 is in use", "set PORT to a free one")

    assert (raised.problem, raised.remedy) == ("port 5001 is in use", "set PORT to a free one")
    assert str(raised) == "port 5001 is in use; set PORT to a free one"


def test_an_error_without_a_remedy_is_its_problem_alone() -> None:
    raised = InputError("nothing to replay")

    assert (raised.problem, raised.remedy, str(raised)) == ("nothing to replay", "", "nothing to replay")


def test_a_settings_error_lists_every_fault_with_its_remedy() -> None:
    faults = [Fault(".env", "PORT", 'is "x"', "use 1 to 65535"), Fault("", "TAU", 'is "0"', "use 1 to 255")]

    raised = SettingsError(faults)

    assert raised.faults == tuple(faults)
    assert str(raised) == '.env: PORT is "x"; use 1 to 65535\nTAU is "0"; use 1 to 255'
    assert str(raised) == raised.problem
