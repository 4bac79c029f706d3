"""Acknowledgements on the air: whose they are, and what a replay of one can do."""

import pytest

from aoii.core.forecast import NodeSettings
from aoii.core.frames import Ack
from aoii.gateway.overheard import OWN_KEPT, Overheard

SETTINGS = NodeSettings(50, 300, 60, 3600, 600, 1)
FIRST = Ack(7, 2, 100, 1_700_000_000, 5, 3, None, 0)


@pytest.mark.parametrize(
    ("ack", "by"),
    [
        (FIRST, "first"),
        (FIRST._replace(unix_s=0, settings=SETTINGS), "first"),  # its clock is not set, but it tells settings
        (FIRST._replace(unix_s=0, unix_ms=0), "witness"),
    ],
)
def test_an_answer_with_time_or_settings_is_of_a_gateway_that_answers_at_once(ack: Ack, by: str) -> None:
    assert Overheard().judge(ack, b"data", (2, 100), 5.0) == by


def test_it_knows_its_own_answers_again_which_another_receiver_of_it_receives() -> None:
    overheard = Overheard()
    overheard.record_own(b"data")

    assert overheard.judge(FIRST, b"data", (2, 100), 5.0) == "own"
    assert not overheard.is_answered(7, 2, 100, 0.0)


@pytest.mark.parametrize("newest", [(2, 101), (3, 0)])
def test_an_answer_to_a_frame_before_the_newest_is_a_replay_or_too_late(newest: tuple[int, int]) -> None:
    overheard = Overheard()

    assert overheard.judge(FIRST, b"data", newest, 5.0) == "old"
    assert not overheard.is_answered(7, 2, 100, 0.0)


@pytest.mark.parametrize("newest", [None, (2, 99), (1, 500)])
def test_an_answer_to_a_frame_that_this_gateway_has_not_heard_counts(newest: tuple[int, int] | None) -> None:
    assert Overheard().judge(FIRST, b"data", newest, 5.0) == "first"


def test_the_same_bytes_again_are_counted_once_and_answer_the_frame_each_time() -> None:
    overheard = Overheard()

    assert overheard.judge(FIRST, b"data", (2, 100), 5.0) == "first"
    assert overheard.judge(FIRST, b"data", (2, 100), 9.0) == "old"
    assert overheard.is_answered(7, 2, 100, 8.0)


def test_a_frame_is_answered_only_by_an_acknowledgement_of_it_since_it_came() -> None:
    overheard = Overheard()
    overheard.judge(FIRST, b"data", (2, 100), 5.0)

    assert overheard.is_answered(7, 2, 100, 5.0)
    assert not overheard.is_answered(7, 2, 100, 5.1)
    assert not overheard.is_answered(7, 2, 101, 0.0)
    assert not overheard.is_answered(7, 1, 100, 0.0)
    assert not overheard.is_answered(8, 2, 100, 0.0)


def test_it_remembers_a_bounded_number_of_its_own() -> None:
    overheard = Overheard()
    for number in range(10 * OWN_KEPT):
        overheard.record_own(b"%d" % number)

    assert len(overheard._own) == OWN_KEPT
