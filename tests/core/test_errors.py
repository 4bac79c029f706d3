"""Errors: one root, facts as attributes, and messages that say what to do."""

import pytest

from aoii.core import errors
from aoii.core.errors import AoiiError, InputError, ProtocolError, UnavailableError


def test_every_error_has_the_one_root() -> None:
    found = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]

    assert len(found) == 5
    assert all(issubclass(error, AoiiError) for error in found)


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
