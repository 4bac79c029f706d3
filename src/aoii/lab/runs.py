"""Replays every policy on every series of some recordings, and sums up each run for `aoii lab`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from aoii.lab.airtime import Radio, airtime_s
from aoii.lab.bounds import Bounds
from aoii.lab.channel import Channel
from aoii.lab.policies import POLICIES
from aoii.lab.policy import Options, Policy
from aoii.lab.replay import DAY_S, Outcome, pieces, replay
from aoii.simulation.recordings import Series

TRACE_HEADER = ("timestamp", "node", "policy", "temperature", "humidity", "estimate_t", "estimate_h", "sent")


@dataclass(frozen=True)
class Run:
    """One policy on one series.

    Attributes:
        file: Name of the recording, as it was given.
        node: Name of the node, or of the recording where that names no node.
        policy: The policy.
        series: What was replayed.
        outcome: What the policy did.
        bounds: The fewest packets of any policy on this series.
    """

    file: str
    node: str
    policy: Policy
    series: Series
    outcome: Outcome
    bounds: Bounds

    @property
    def days(self) -> float:
        """Samples times the sampling interval, days; gaps do not count."""
        return len(self.series) * self.series.interval_s / DAY_S

    def errors(self, q: int) -> list[int]:
        """Absolute error of the gateway's estimate after each sample, hundredths; samples without one are left out.

        Args:
            q: 0 temperature, 1 humidity.
        """
        readings = self.series.humidity_c if q else self.series.temperature_c
        return [
            abs(reading - estimate[q])
            for reading, estimate in zip(readings, self.outcome.estimates, strict=True)
            if estimate is not None
        ]

    def summary(self, radio: Radio) -> dict[str, str | int | float]:
        """An object in the JSON of `aoii lab replay`; docs/reference/lab.md explains each key."""
        outcome, meter, size = self.outcome, self.outcome.meter, self.policy.frame_bytes
        uplinks = (outcome.packets + outcome.retries) / self.days
        samples = DAY_S / self.series.interval_s
        return {
            "file": self.file,
            "node": self.node,
            "policy": self.policy.name,
            "samples": len(self.series),
            "days": round(self.days, 4),
            "events": outcome.events,
            "heartbeats": outcome.heartbeats,
            "retries": outcome.retries,
            "acks": outcome.acks,
            "minutes_wrong": round(meter.wrong_s / 60, 2),
            "max_error_t": max(self.errors(0), default=0) / 100,
            "max_error_h": max(self.errors(1), default=0) / 100,
            "aoii_mean_s": round(meter.mean_s(), 3),
            "aoii_p99_s": meter.p99_s(),
            "airtime_s_per_day": round(uplinks * airtime_s(size, radio.sf), 3),
            "energy_mj_per_day": round(radio.energy_mj_per_day(samples, uplinks, size), 1),
            "bound_hold": self.bounds.hold,
            "bound_linear": self.bounds.linear,
        }

    def trace(self) -> Iterator[tuple[str, ...]]:
        """One row for each sample, as in `TRACE_HEADER`; an estimate is empty before the gateway's first packet."""
        series, outcome = self.series, self.outcome
        readings = zip(series.timestamps, series.temperature_c, series.humidity_c, strict=True)
        for (timestamp, t, h), estimate, sent in zip(readings, outcome.estimates, outcome.sent, strict=True):
            values = [f"{value / 100:.2f}" for value in (t, h, *(estimate or ()))]
            yield (timestamp, self.node, self.policy.name, *values, *([] if estimate else ["", ""]), str(int(sent)))


def replay_all(
    recordings: Sequence[tuple[str, Sequence[Series]]],
    names: Sequence[str],
    options: Options,
    channel: Callable[[Series], Channel],
) -> Iterator[Run]:
    """Every policy on every series, in the order of the files, the nodes and `POLICIES`.

    Args:
        recordings: Name of each file, and its series.
        names: Policies, as in `POLICY_NAMES`.
        options: How to replay.
        channel: Makes the channel of one series, the same for every policy.
    """
    for file, all_series in recordings:
        for series in all_series:
            bounds = Bounds(series, pieces(series), options.epsilon)
            done: dict[str, Outcome] = {}
            # periodic_equal comes last, because it sends as many packets as trend did
            for policy in sorted(POLICIES, key=lambda policy: policy.clock == "equal"):
                if policy.name in names or (policy.name == "trend" and "periodic_equal" in names):
                    packets = done["trend"].packets if policy.clock == "equal" else 0
                    done[policy.name] = replay(series, policy, options, channel(series), packets)
            for policy in POLICIES:
                if policy.name in names:
                    yield Run(file, series.node or stem(file), policy, series, done[policy.name], bounds)


def stem(file: str) -> str:
    """The name of a recording without folder and endings."""
    return PurePath(file).name.partition(".")[0]
