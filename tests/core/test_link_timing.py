"""The pauses of a link: how long, how they grow, and that chance keeps two nodes apart."""

import pytest

from aoii.core.link_timing import MAX_BUSY_DOUBLINGS, TIMING, Backoff


@pytest.mark.parametrize(("chance", "share"), [(0.0, 0.5), (0.999999, 1.0)])
def test_a_pause_lies_between_half_of_its_longest_value_and_all_of_it(chance: float, share: float) -> None:
    backoff = Backoff(TIMING, lambda: chance)
    backoff.record_packet()

    assert backoff.silence_ms() == pytest.approx(TIMING.backoff_ms * share, abs=1)
    assert backoff.backlog_ms() == pytest.approx(TIMING.backlog_pause_ms * share, abs=1)


def test_silence_doubles_the_pause_up_to_the_limit_and_an_acknowledgement_ends_it() -> None:
    backoff = Backoff(TIMING, lambda: 0.0)
    pauses = []
    for _ in range(40):
        backoff.record_packet()
        pauses.append(backoff.silence_ms())

    backoff.record_ack()
    backoff.record_packet()

    assert pauses[:4] == [1000, 2000, 4000, 8000]
    assert pauses[-1] == TIMING.backoff_limit_ms // 2
    assert backoff.silence_ms() == pauses[0]


def test_a_busy_channel_doubles_its_pause_a_few_times_until_a_packet_is_sent() -> None:
    backoff = Backoff(TIMING, lambda: 0.0)

    pauses = [backoff.busy_ms() for _ in range(MAX_BUSY_DOUBLINGS + 3)]
    backoff.record_packet()

    assert pauses[0] == 1 + TIMING.airtime_ms // 2
    assert pauses[-1] == pauses[-2] == pauses[-3] == 1 + (TIMING.airtime_ms << MAX_BUSY_DOUBLINGS) // 2
    assert backoff.busy_ms() == pauses[0]


def test_a_back_off_goes_on_after_a_sleep() -> None:
    backoff, woken = (Backoff(TIMING, lambda: 0.0) for _ in range(2))
    for _ in range(3):
        backoff.record_packet()
    backoff.busy_ms()

    end = woken.load(b"\0" + backoff.dump(), 1)

    assert end == 1 + len(backoff.dump())
    assert (woken.silence_ms(), woken.busy_ms()) == (backoff.silence_ms(), backoff.busy_ms())
