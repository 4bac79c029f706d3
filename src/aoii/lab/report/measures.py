"""The figures that the report gives for some runs of one policy, and its tables in Markdown."""

import math
from collections.abc import Iterable, Sequence

from aoii.lab.replay import DAY_S
from aoii.lab.runs import Run

FEWEST_SAMPLES, FEWEST_PACKETS = 500, 15  # a ratio from a shorter or calmer series says nothing


def of_policy(runs: Iterable[Run], name: str) -> list[Run]:
    """The runs of one policy."""
    return [run for run in runs if run.policy.name == name]


def is_counted(hold: Run) -> bool:
    """Whether a series counts in ratios, judged by its run of send-on-delta."""
    return len(hold.series) >= FEWEST_SAMPLES and hold.outcome.packets >= FEWEST_PACKETS


def packets_a_day(runs: Sequence[Run]) -> float:
    """Packets a day of one node, on average."""
    return sum(run.outcome.packets for run in runs) / _days(runs)


def percent_wrong(runs: Sequence[Run]) -> float:
    """Share of the time in which the gateway was wrong, %."""
    return 100 * sum(run.outcome.meter.wrong_s for run in runs) / (_days(runs) * DAY_S)


def mean_aoii_s(runs: Sequence[Run]) -> float:
    """Mean age of incorrect information, s."""
    instants = sum(run.outcome.meter.instants for run in runs)
    return sum(run.outcome.meter.mean_s() * run.outcome.meter.instants for run in runs) / instants


def wrong_and_age(runs: Sequence[Run]) -> str:
    """Time wrong in %, and mean age of incorrect information in s."""
    return f"{percent_wrong(runs):.3f} / {mean_aoii_s(runs):.1f}"


def mean_error(runs: Sequence[Run], q: int) -> float:
    """Mean absolute error after a sample; `q` 0: °C, 1: %RH."""
    errors = [error for run in runs for error in run.errors(q)]
    return sum(errors) / max(len(errors), 1) / 100


def geometric_mean(values: Sequence[float]) -> float:
    """Geometric mean of positive values."""
    return math.exp(sum(math.log(value) for value in values) / len(values))


def _days(runs: Iterable[Run]) -> float:
    return sum(run.days for run in runs)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown; all columns but the first are aligned to the right."""
    rule = "|".join(["---", *["---:"] * (len(header) - 1)])
    return "\n".join([_line(header), f"|{rule}|", *map(_line, rows), ""])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
