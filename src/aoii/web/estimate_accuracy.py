"""When the gateway's estimate was right and when wrong, judged from a node's log and the packets that arrived.

By the definition of AoII, an instant is judged after its sample's packet, and a retry counts at the next instant. The
log says what the node measured, which estimate it knew of, and when it began to send. The packets say what arrived,
and their event time says whether the first try did: the gateway subtracts the age in the frame from the time of
receipt, and a retry carries the age of the first try.

What cannot be seen counts as right: a retry so late that the node wrote a new frame with a new age; without the log,
everything between packets; and in a fast simulation early retries (`is_coarse`). With tau above 1 it counts as wrong: a
node that does not send may be waiting for tau, or may already have offered a forecast that is right.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

from aoii.core.link_timing import TIMING
from aoii.web.fleet_settings import FleetSettings
from aoii.web.points import Packet, Sample, event_ms, hundredths

FIRST_RETRY_MS = TIMING.ack_window_ms + TIMING.backoff_ms // 2  # the earliest retry
LATENCY_MS = 20  # real; from the simulated radio to the gateway's clock on a busy machine, measured
REACH_PERIODS = 2  # largest distance between the times of a packet and of its sample
NEVER_MS = 2**62


class Instant(NamedTuple):
    """One sample instant: its event time, Unix ms, and whether the estimate was wrong after its packet."""

    at_ms: int
    wrong: bool


def from_log(samples: list[Sample], packets: list[Packet], settings: FleetSettings) -> Iterator[Instant]:
    """Judge each sample of a log."""
    prompt_ms = _prompt_ms(settings)
    arrivals = _arrivals(samples, packets, 1000 * settings.period_s)
    sent_before: int | None = None  # arrival of the reading that was sent before this one; None: there was none
    for sample, arrived_ms in zip(samples, arrivals, strict=True):
        wrong = settings.is_wrong(sample.temp - sample.pred_temp, sample.hum - sample.pred_hum)
        if sample.sent:
            if arrived_ms - sample.at_ms < prompt_ms:
                wrong = False
            elif not wrong and not sample.heartbeat:
                # The acknowledged forecast is right, and yet the node sends: the forecast that it offered before is
                # wrong, and the gateway may have that one. Or the gateway has no forecast yet.
                wrong = sent_before is None or sent_before < sample.at_ms
            sent_before = arrived_ms
        elif wrong and sent_before is not None and settings.tau == 1:
            # The acknowledged forecast is wrong, and yet the node does not send: the one that it offered is right.
            wrong = sent_before > sample.at_ms
        yield Instant(sample.at_ms, wrong)


def is_coarse(settings: FleetSettings) -> bool:
    """Whether the simulation is so fast that event times do not tell early retries from first tries."""
    return _prompt_ms(settings) > FIRST_RETRY_MS


def from_packets(packets: list[Packet], start_ms: int, instants: int, settings: FleetSettings) -> Iterator[Instant]:
    """Judge `instants` sample instants from `start_ms` on by packets alone: wrong where a packet was sent late."""
    period_ms = 1000 * settings.period_s
    late = {(packet.at_ms - start_ms) // period_ms for packet in packets if packet.kind == "backfill" and packet.qos}
    for step in range(instants):
        yield Instant(start_ms + step * period_ms, step in late)


def _prompt_ms(settings: FleetSettings) -> int:
    """Largest delay of a packet's event time, after its sample's, for a first try, ms."""
    return max(FIRST_RETRY_MS, round(LATENCY_MS * settings.speed))


def _arrivals(samples: list[Sample], packets: list[Packet], period_ms: int) -> list[int]:
    """For each sample, the event time of its packet: the nearest one with the same reading.

    Backfill does not count: it changes no forecast.
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
