"""What the simulated radio does to packets, described once: for `aoii demo`, `aoii edge` and `aoii lab replay` alike.

A description and the options that ask for it; nothing here loses a packet (`simulation/radio.py` does) or reads a file
(`simulation/packet_traces.py` does).
"""

import argparse
import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aoii.core.errors import InputError

COLLISIONS = ("none", "all", "capture")
DELAY_LIMIT_S = 5.0  # node and gateway count a plan's steps to the nearest: half a period, 30 s, and resends take 24
NEIGHBOURS_LIMIT = 10_000
BURST_REMEDY = "write SHARE:SECONDS or SHARE:SECONDS:LOSS, such as 0.05:120: in outages 5 % of the time, 120 s each"


@dataclass(frozen=True)
class Burst:
    """Outages, as Gilbert (1960) and Elliott (1963) model them: a link is well or ill, and forgets how long it was.

    Attributes:
        share: Of the time that a link is ill, 0 to below 1.
        mean_s: How long it stays so, on average, s.
        loss: Probability that a packet is lost meanwhile; both directions fall ill together.
    """

    share: float
    mean_s: float
    loss: float = 1.0

    def __str__(self) -> str:
        return f"{self.share:g}:{self.mean_s:g}:{self.loss:g}"


@dataclass(frozen=True)
class Reception:
    """What a real gateway heard of one node that sent once in each interval."""

    interval_s: float
    heard: tuple[bool, ...]


@dataclass(frozen=True)
class Weather:
    """Everything that may happen to a packet on the air.

    Attributes:
        loss: Probability that a node's packet is lost, whatever happened to others.
        ack_loss: The same for what the gateway answers.
        burst: Outages on top of that; None: none.
        duplicate: Probability that a packet is heard twice, the copy up to 5 s later.
        delay_s: Every packet comes up to this late, each by its own chance.
        reorder: Probability that a packet is heard only after the next one of the same sender.
        collisions: What happens when packets overlap: `none`, `all` are lost, or all but the strongest (`capture`).
        neighbours: Nodes of others on the same channel, each of which sends once a minute; they only collide.
        trace: A reception trace whose losses are repeated; None: none.
    """

    loss: float = 0.0
    ack_loss: float = 0.0
    burst: Burst | None = None
    duplicate: float = 0.0
    delay_s: float = 0.0
    reorder: float = 0.0
    collisions: str = "none"
    neighbours: int = 0
    trace: Path | None = None

    @property
    def is_fair(self) -> bool:
        """Whether every packet arrives, once and at once."""
        return self == Weather(neighbours=self.neighbours)


def share(text: str) -> float:
    """A probability. Raises ValueError."""
    return number(text, 0.0, 1.0)


def number(text: str, low: float, high: float) -> float:
    """A number within bounds. Raises ValueError."""
    value = float(text)
    if not low <= value <= high:
        raise ValueError(text)
    return value


def burst(text: str) -> Burst | None:
    """Outages as `SHARE:SECONDS[:LOSS]`, None for nothing. Raises ValueError."""
    if not text:
        return None
    fields = text.split(":")
    if len(fields) not in {2, 3}:
        raise ValueError(text)
    found = Burst(share(fields[0]), float(fields[1]), share(fields[2]) if len(fields) == 3 else 1.0)
    if found.share == 1.0 or not (math.isfinite(found.mean_s) and found.mean_s > 0):
        raise ValueError(text)
    return found


def add_options(parser: argparse.ArgumentParser, ack_loss: str) -> None:
    """Add the options that describe a radio.

    Args:
        parser: Of a command.
        ack_loss: What `--ack-loss` is when it is not given, in words.
    """
    group = parser.add_argument_group(
        "radio",
        "What happens on the air. Everything may be combined; all chances come from --seed. "
        "What each does, and what was measured with it: docs/explanation/radio.md.",
    )
    add = group.add_argument
    probability = _typed(share, "use a probability from 0 to 1, such as 0.1")
    add("--loss", type=probability, default=0.0, metavar="P", help="probability that a packet is lost (default: 0)")
    add(
        "--ack-loss",
        type=probability,
        metavar="P",
        help=f"probability that an acknowledgement is lost (default: {ack_loss})",
    )
    add(
        "--loss-burst",
        type=_typed(burst, BURST_REMEDY),
        metavar="SHARE:S[:P]",
        help="outages (Gilbert-Elliott): a link is in one for this SHARE of the time, for S seconds on average, and "
        "loses a packet meanwhile with probability P (default: 1); 0.05:120 loses 5%% in outages of two minutes",
    )
    add(
        "--trace-loss",
        type=Path,
        metavar="FILE",
        help="lose packets as in this reception trace: CSV or CSV.gz with timestamp, seq and perhaps node; a missing "
        "number is an interval in which every try is lost. A node takes the trace of its name, else the first",
    )
    add(
        "--duplicate",
        type=probability,
        default=0.0,
        metavar="P",
        help="probability that a packet is heard twice, the copy up to 5 s later (default: 0)",
    )
    add(
        "--reorder",
        type=probability,
        default=0.0,
        metavar="P",
        help="probability that a packet is heard only after the next one of its sender (default: 0)",
    )
    add(
        "--delay-s",
        type=_typed(lambda text: number(text, 0, DELAY_LIMIT_S), f"use seconds from 0 to {DELAY_LIMIT_S:g}"),
        default=0.0,
        metavar="S",
        help="every packet comes up to S seconds late, each by its own chance (default: 0)",
    )
    add(
        "--collisions",
        nargs="?",
        choices=COLLISIONS,
        default="none",
        const="all",
        help="packets whose times on air overlap are lost: all of them, or with capture all but one that is 6 dB "
        "stronger than every other (default: none; without a value: all)",
    )
    add(
        "--neighbours",
        type=_typed(lambda text: int(number(text, 0, NEIGHBOURS_LIMIT)), f"use 0 to {NEIGHBOURS_LIMIT}"),
        default=0,
        metavar="N",
        help="with --collisions: nodes of others on this channel, each of which sends once a minute (default: 0)",
    )


def of_options(options: argparse.Namespace, ack_loss: float) -> Weather:
    """The radio that was asked for; `ack_loss` is for when `--ack-loss` was not given.

    Raises:
        InputError: Something was asked for that does nothing.
    """
    if options.neighbours and options.collisions == "none":
        raise InputError("--neighbours does nothing without --collisions; add it, or leave out --neighbours")
    return Weather(
        options.loss,
        ack_loss if options.ack_loss is None else options.ack_loss,
        options.loss_burst,
        options.duplicate,
        options.delay_s,
        options.reorder,
        options.collisions,
        options.neighbours,
        options.trace_loss,
    )


def _typed(parse: Callable[[str], Any], remedy: str) -> Callable[[str], Any]:
    """An argument type that says what would be right."""

    def read(text: str) -> Any:
        with contextlib.suppress(ValueError):
            return parse(text)
        raise argparse.ArgumentTypeError(f'"{text}"; {remedy}')

    return read
