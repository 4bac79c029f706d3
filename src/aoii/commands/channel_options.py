"""The options that describe the simulated radio, the same for `aoii demo` and `aoii lab replay`."""

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from aoii.core.errors import InputError
from aoii.settings import channel
from aoii.settings.channel import ChannelModel, number

T = TypeVar("T")


def typed(parse: Callable[[str], T], remedy: str) -> Callable[[str], T]:
    """An argument type that says what to give instead.

    Args:
        parse: Makes the value; raises ValueError.
        remedy: Such as `use a positive number`.
    """

    def parse_argument(text: str) -> T:
        with contextlib.suppress(ValueError):
            return parse(text)
        raise argparse.ArgumentTypeError(f'"{text}"; {remedy}')

    return parse_argument


PROBABILITY = typed(channel.share, "use a probability from 0 to 1, such as 0.1")
DELAY = typed(lambda text: number(text, 0, channel.DELAY_LIMIT_S), f"use seconds from 0 to {channel.DELAY_LIMIT_S:g}")
NEIGHBOURS = typed(lambda text: int(number(text, 0, channel.NEIGHBOURS_LIMIT)), f"use 0 to {channel.NEIGHBOURS_LIMIT}")

LOSS_BURST = (
    "outages (Gilbert-Elliott): each link is in one for this SHARE of the time, for S seconds on average, and loses a "
    "packet in it with probability P (default: 1); 0.05:120 loses 5%% of the packets in outages of two minutes"
)
TRACE_LOSS = (
    "lose packets as in this packet trace: CSV or CSV.gz with timestamp, seq and perhaps node; every try in an "
    "interval with a missing number is lost. A node uses the trace of its name, or the first one"
)
DUPLICATE = "probability that a packet arrives twice, the copy up to 5 s later (default: 0)"
REORDER = "probability that a packet arrives only after the next one of its sender (default: 0)"
DELAY_S = "each packet arrives up to S seconds late, at random (default: 0)"
COLLISIONS_HELP = (
    "packets that overlap in time are lost: all of them, or with capture all but one that is 6 dB stronger than every "
    "other (default: none; without a value: all)"
)
NEIGHBOURS_HELP = "with --collisions: N nodes of others on this channel, each of which sends once a minute (default: 0)"


def add_options(parser: argparse.ArgumentParser, ack_loss: str) -> None:
    """Add the options.

    Args:
        parser: Of a command.
        ack_loss: Default of `--ack-loss`, in words.
    """
    group = parser.add_argument_group(
        "radio",
        "What happens to packets on the air. All options can be combined; all random numbers come from --seed. "
        "Details and measurements: docs/explanation/radio.md.",
    )
    add = group.add_argument
    loss = "probability that a packet is lost (default: 0)"
    add("--loss", type=PROBABILITY, default=0.0, metavar="P", help=loss)
    acks = f"probability that an acknowledgement is lost (default: {ack_loss})"
    add("--ack-loss", type=PROBABILITY, metavar="P", help=acks)
    add("--loss-burst", type=typed(channel.parse_burst, channel.BURST_REMEDY), metavar="SHARE:S[:P]", help=LOSS_BURST)
    add("--trace-loss", type=Path, metavar="FILE", help=TRACE_LOSS)
    add("--duplicate", type=PROBABILITY, default=0.0, metavar="P", help=DUPLICATE)
    add("--reorder", type=PROBABILITY, default=0.0, metavar="P", help=REORDER)
    add("--delay-s", type=DELAY, default=0.0, metavar="S", help=DELAY_S)
    add("--collisions", nargs="?", choices=channel.COLLISIONS, default="none", const="all", help=COLLISIONS_HELP)
    add("--neighbours", type=NEIGHBOURS, default=0, metavar="N", help=NEIGHBOURS_HELP)


def channel_model(options: argparse.Namespace, ack_loss: float) -> ChannelModel:
    """The channel model that the options describe.

    Args:
        options: Parsed.
        ack_loss: Default of `--ack-loss`.

    Raises:
        InputError: An option has no effect.
    """
    if options.neighbours and options.collisions == "none":
        raise InputError("--neighbours does nothing without --collisions", "add it, or leave out --neighbours")
    return ChannelModel(
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
