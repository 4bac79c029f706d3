"""The options that ask for a channel, the same for `aoii demo` and `aoii lab replay`."""

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aoii.core.errors import InputError
from aoii.settings.channel import (
    BURST_REMEDY,
    COLLISIONS,
    DELAY_LIMIT_S,
    NEIGHBOURS_LIMIT,
    Weather,
    burst,
    number,
    share,
)


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
