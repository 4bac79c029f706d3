"""When a witness answers."""

import pytest

from aoii.core.forecast import HOLD
from aoii.core.frames import ACK_BYTES, EVENT, UPLINK_BYTES, Uplink
from aoii.core.link_timing import TIMING
from aoii.gateway.witness import SLOTS_MS, Repetitions
from aoii.lab.airtime import airtime_s


def frame(number: int, counter: int, node: int = 7, epoch: int = 2) -> Uplink:
    return Uplink(node, epoch, number, counter, 0, 2000, 5000, HOLD, EVENT, 1, 0, 0)


def test_a_reading_is_repeated_when_the_nodes_last_frame_carried_it_too() -> None:
    repetitions = Repetitions()

    found = [
        repetitions.is_repeated(one)
        for one in (
            frame(1, 1),
            frame(1, 1),  # byte for byte
            frame(2, 1),  # in a new frame
            frame(3, 2),
            frame(1, 2, node=8),
            frame(4, 2),
            frame(1, 2, epoch=3),
        )
    ]

    assert found == [False, True, True, False, False, True, False]


@pytest.mark.parametrize("spreading", SLOTS_MS)
def test_a_slot_holds_an_acknowledgement_and_the_answer_fits_into_the_nodes_window(spreading: int) -> None:
    ack_ms = 1000 * airtime_s(ACK_BYTES, spreading)
    uplink_ms = 1000 * airtime_s(UPLINK_BYTES, spreading)
    window_ms = TIMING.ack_window_ms + max(0, 2 * (uplink_ms - TIMING.airtime_ms))  # edge/drivers/board.py, `timing`

    assert SLOTS_MS[spreading] == round(ack_ms + 60)
    assert uplink_ms + SLOTS_MS[spreading] + ack_ms + 200 < window_ms  # and 200 ms for commit, ports and clocks
