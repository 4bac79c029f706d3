"""When the gateway's estimate was correct and when wrong, judged from a node's log and the packets that arrived.

By the definition of AoII, an instant is judged after its sample's packet, and a packet that arrives only at a retry
counts at the next instant. The log says what the node measured, which estimate it knew of, and when it began to send.
The packets say what arrived, and their event time says whether it arrived at the first try: the gateway subtracts the
age in the frame from the time of receipt, and a retry carries the age of the first try.

Three things cannot be seen and count as right: a retry so late that the node wrote a new frame with a new age; without
the log, everything between packets; and in a fast simulation, early retries (`is_coarse`).

With tau above 1, an instant counts as wrong if the acknowledged forecast is wrong and the node does not send. The node
may be waiting for tau, or it may already have offered a forecast that is correct; the log does not tell which.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from aoii.core.link_timing import TIMING
from aoii.web.fleet_settings import FleetSettings
from aoii.web.points import Packet, Sample, event_ms, hundredths

FIRST_RETRY_MS = TIMING.ack_window_ms + TIMING.backoff_ms // 2  # from the first try to the earliest retry
LATENCY_MS = 20  # real ms from the simulated radio to the gateway's receipt on a busy machine, measured
REACH_PERIODS = 2  # largest distance between the event times of a packet and of its sample
NEVER_MS = 2**62  # the arrival of a sample that did not arrive


class Instant(NamedTuple):
    """One sample instant: its event time, Unix ms, and whether the estimate was wrong after the sample's packet."""

    at_ms: int
    wrong: bool


def from_log(samples: list[Sample], packets: list[Packet], settings: FleetSettings) -> Iterator[Instant]:
    """Judge each sample of a log; samples and packets are in order of event time."""
    prompt_ms = _prompt_ms(settings)
    arrivals = _arrivals(samples, packets, 1000 * settings.period_s)
    sent_before_ms: int | None = None  # when the reading sent before this one arrived; None: there was none
    for sample, arrived_ms in zip(samples, arrivals, strict=True):
        wrong = settings.is_wrong(sample.temp - sample.pred_temp, sample.hum - sample.pred_hum)
        if sample.sent:
            if arrived_ms - sample.at_ms < prompt_ms:
                wrong = False
            elif not wrong and not sample.heartbeat:
                # The acknowledged forecast is correct, and yet the node sends. So the forecast that it offered before
                # is wrong, and the gateway may have taken that one; or the gateway has no forecast yet.
                wrong = sent_before_ms is None or sent_before_ms < sample.at_ms
            sent_before_ms = arrived_ms
        elif wrong and sent_before_ms is not None and settings.tau == 1:
            # The acknowledged forecast is wrong, and yet the node does not send: so the one that it offered is correct.
            wrong = sent_before_ms > sample.at_ms
        yield Instant(sample.at_ms, wrong)


def is_coarse(settings: FleetSettings) -> bool:
    """Whether the simulation is so fast that event times do not tell early retries from first tries."""
    return _prompt_ms(settings) > FIRST_RETRY_MS


def from_packets(packets: list[Packet], start_ms: int, instants: int, settings: FleetSettings) -> Iterator[Instant]:
    """Judge instants by packets alone: one is wrong if backfill with QoS 1 shows that its reading was sent late.

    Args:
        packets: Those of the span.
        start_ms: The first instant, Unix ms.
        instants: How many instants to judge, one every sample period.
        settings: The settings that all nodes share.
    """
    period_ms = 1000 * settings.period_s
    late = {(packet.at_ms - start_ms) // period_ms for packet in packets if packet.kind == "backfill" and packet.qos}
    for step in range(instants):
        yield Instant(start_ms + step * period_ms, step in late)


def _prompt_ms(settings: FleetSettings) -> int:
    """How long after its sample the event time of a packet may be, ms, if it arrived at the first try."""
    return max(FIRST_RETRY_MS, round(LATENCY_MS * settings.speed))


def _arrivals(samples: list[Sample], packets: list[Packet], period_ms: int) -> list[int]:
    """For each sample, the event time of its packet, Unix ms; NEVER_MS if none arrived.

    A sample's packet is the nearest one with the same reading. Backfill does not count: it changes no forecast.
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
