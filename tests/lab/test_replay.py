"""One replay: what counts as sent, wrong, late and lost."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from aoii.lab.channel import SimulatedChannel, lossless
from aoii.lab.policies import BY_NAME
from aoii.lab.policy import Options
from aoii.lab.replay import HOLE, RESENDS, pieces, replay
from aoii.settings.channel import ChannelModel
from aoii.simulation.recordings import Series
from series import made, shipped


def at(temperatures: list[int], slots: list[int] | None = None) -> Series:
    """A series at 50 %RH."""
    return made([(t, 5000) for t in temperatures], slots)


@dataclass
class Script:
    """A channel that follows a script, one answer for each transmission; afterwards it loses nothing."""

    ups: str = ""
    downs: str = ""
    is_lossless: bool = False
    _ups: Iterator[str] = field(init=False)
    _downs: Iterator[str] = field(init=False)

    def __post_init__(self) -> None:
        self._ups, self._downs = iter(self.ups), iter(self.downs)

    def carries_uplink(self, at_s: float) -> bool:
        return next(self._ups, "1") == "1"

    def carries_ack(self) -> bool:
        return next(self._downs, "1") == "1"


def test_a_packet_that_is_lost_is_sent_again_at_once() -> None:
    outcome = replay(at([2000] * 5), BY_NAME["trend"], Options(), Script(ups="001"))

    assert (outcome.events, outcome.retries, outcome.acks) == (1, 2, 1)
    assert outcome.meter.wrong == 0


def test_an_acknowledgement_that_is_lost_costs_a_resend_and_nothing_else() -> None:
    outcome = replay(at([2000] * 5), BY_NAME["trend"], Options(), Script(downs="01"))

    assert (outcome.events, outcome.retries, outcome.acks) == (1, 1, 2)
    assert outcome.meter.wrong == 0


def test_when_all_tries_fail_the_next_sample_is_sent() -> None:
    tries = 1 + RESENDS

    outcome = replay(at([2000] * 5), BY_NAME["send_on_delta"], Options(), Script(ups="0" * tries))

    assert outcome.sent == [True, True, False, False, False]
    assert (outcome.events, outcome.retries) == (2, RESENDS)
    assert outcome.estimates[:2] == [None, (2000, 5000)]
    assert outcome.meter.wrong == 1


def test_after_a_packet_without_an_answer_the_next_reading_is_sent_even_if_the_estimate_is_right() -> None:
    """All acknowledgements of the first packet are lost: the node cannot know that the gateway has it."""
    outcome = replay(at([2000] * 4), BY_NAME["trend"], Options(), Script(downs="0" * (1 + RESENDS)))

    assert outcome.sent == [True, True, False, False]
    assert outcome.meter.wrong == 0


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_trends_survive_loss_in_both_directions(loss: float) -> None:
    outcome = replay(shipped(), BY_NAME["trend"], Options(), SimulatedChannel(ChannelModel(loss, loss), "1"))

    assert outcome.meter.wrong <= 0.005 * len(outcome.sent)
    assert outcome.retries > 0
    assert outcome.acks <= outcome.packets + outcome.retries


def test_a_silent_node_reports_when_a_heartbeat_is_due() -> None:
    outcome = replay(at([2000] * 61), BY_NAME["send_on_delta"], Options(heartbeat_s=600), lossless())

    assert (outcome.events, outcome.heartbeats) == (1, 6)
    assert [i for i, sent in enumerate(outcome.sent) if sent] == list(range(0, 61, 10))


def test_without_heartbeat_a_node_may_be_silent_for_ever() -> None:
    assert replay(at([2000] * 5000), BY_NAME["send_on_delta"], Options(), lossless()).packets == 1


def test_a_long_gap_splits_and_a_hole_does_not() -> None:
    hole = at([2000] * 6, [0, 1, 2, 2 + HOLE, 3 + HOLE, 4 + HOLE])
    gap = at([2000] * 6, [0, 1, 2, 3 + HOLE, 4 + HOLE, 5 + HOLE])

    assert (pieces(hole), pieces(gap)) == ([0], [0, 3])
    assert replay(hole, BY_NAME["send_on_delta"], Options(), lossless()).packets == 1
    assert replay(gap, BY_NAME["send_on_delta"], Options(), lossless()).sent == [True, False, False, True, False, False]


def test_the_age_restarts_after_a_gap() -> None:
    series = at([2000] * 4, [0, 1, 100, 101])

    outcome = replay(series, BY_NAME["send_on_delta"], Options(), Script(ups="0" * 1000))

    assert outcome.meter.mean_s() == (60 + 120 + 60 + 120) / 4


def test_equal_to_the_threshold_is_wrong_and_just_below_is_right() -> None:
    assert replay(at([2000, 2049]), BY_NAME["send_on_delta"], Options(), lossless()).packets == 1
    assert replay(at([2000, 2050]), BY_NAME["send_on_delta"], Options(), lossless()).packets == 2


def test_with_a_threshold_on_the_age_a_short_deviation_costs_no_packet_and_a_lasting_one_is_corrected() -> None:
    outcome = replay(
        at([2000, 2100, 2000, 2100, 2100, 2100, 2200, 2200]), BY_NAME["send_on_delta"], Options(tau=2), lossless()
    )

    assert outcome.sent == [True, False, False, False, True, False, False, True]
    assert outcome.meter.wrong == 3
