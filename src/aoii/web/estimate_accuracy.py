"""When the gateway was right and when it was wrong, from a node's log and the packets that arrived.

By the one definition of AoII an instant is judged after that sample's packet, and a retry counts at the next instant.
The log tells what the node measured, what it knew of the gateway's belief and when it began to send; the packets tell
what arrived, and by their event time whether at the first try: the gateway takes the age in the frame off the time of
receipt, and a repeated frame carries the age of its first try.

What cannot be seen is judged in the gateway's favour: a retry so late that the node wrote a new frame with a new age;
without the log, everything between packets; and in a fast simulation early retries (`is_coarse`). With tau above 1 it
is judged against the gateway: nobody sees whether a node that does not send waits for tau or has offered what is right.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from aoii.core.link_timing import TIMING
from aoii.web.points import Packet, Rules, Sample, event_ms, hundredths

FIRST_RETRY_MS = TIMING.ack_window_ms + TIMING.backoff_ms // 2  # no packet is repeated earlier
LATENCY_MS = 20  # of real time, from the simulated radio to the clock of the gateway, on a busy machine; measured
REACH_PERIODS = 2  # how far a packet's time may lie from its sample's
NEVER_MS = 2**62


class Instant(NamedTuple):
    """One sample instant: its event time, Unix ms, and whether the gateway was wrong after that sample's packet."""

    at_ms: int
    wrong: bool


def from_log(samples: list[Sample], packets: list[Packet], rules: Rules) -> Iterator[Instant]:
    """Judge every sample of a log."""
    prompt_ms = _prompt_ms(rules)
    arrivals = _arrivals(samples, packets, 1000 * rules.period_s)
    sent_before: int | None = None  # when the reading arrived that the node began to send before; None: there was none
    for sample, arrived_ms in zip(samples, arrivals, strict=True):
        wrong = rules.is_wrong(sample.temp - sample.pred_temp, sample.hum - sample.pred_hum)
        if sample.sent:
            if arrived_ms - sample.at_ms < prompt_ms:
                wrong = False
            elif not wrong and not sample.heartbeat:
                # The forecast that the node knows is right, and yet it sends: the one that it offered before is wrong,
                # and the gateway may have that one. Or the gateway knows nothing at all yet.
                wrong = sent_before is None or sent_before < sample.at_ms
            sent_before = arrived_ms
        elif wrong and sent_before is not None and rules.tau == 1:
            # It does not send although the forecast that it knows is wrong: the one that it has offered is right.
            wrong = sent_before > sample.at_ms
        yield Instant(sample.at_ms, wrong)


def is_coarse(rules: Rules) -> bool:
    """Whether the simulation is too fast to tell early retries from first tries by their event time."""
    return _prompt_ms(rules) > FIRST_RETRY_MS


def from_packets(packets: list[Packet], start_ms: int, instants: int, rules: Rules) -> Iterator[Instant]:
    """Judge `instants` sample instants from `start_ms` on by packets alone: wrong where one was surely sent late."""
    period_ms = 1000 * rules.period_s
    late = {(packet.at_ms - start_ms) // period_ms for packet in packets if packet.kind == "backfill" and packet.qos}
    for step in range(instants):
        yield Instant(start_ms + step * period_ms, step in late)


def _prompt_ms(rules: Rules) -> int:
    """A packet whose event time lies less than this after its sample's came at the first try."""
    return max(FIRST_RETRY_MS, round(LATENCY_MS * rules.speed))


def _arrivals(samples: list[Sample], packets: list[Packet], period_ms: int) -> list[int]:
    """For each sample, the event time of the packet that brought it: the nearest with the same reading.

    Backlog is history: it changes no forecast, and so it brought nothing in time.
    """
    arrivals = [NEVER_MS] * len(samples)
    reach_ms = REACH_PERIODS * period_ms
    for packet in packets:
        if packet.kind == "backfill":
            continue
        reading = hundredths(packet)
        near = range(
            bisect_left(samples, packet.at_ms - reach_ms, key=event_ms),
            bisect_right(samples, packet.at_ms + reach_ms, key=event_ms),
        )
        same = [n for n in near if samples[n].sent and arrivals[n] == NEVER_MS and hundredths(samples[n]) == reading]
        if same:
            arrivals[min(same, key=lambda n: abs(samples[n].at_ms - packet.at_ms))] = packet.at_ms
    return arrivals
