"""The options of the simulated radio channel, the same for `aoii demo` and `aoii lab replay`.

They are the settings of the simulated radio, `EDGE_…`, under shorter names.
"""

import argparse
from collections.abc import Callable
from typing import Any

from aoii.commands.arguments import file_path
from aoii.core.errors import InputError
from aoii.runtime import advice
from aoii.settings import Setting
from aoii.settings.channel import COLLISIONS, ChannelModel
from aoii.settings.kinds import KindError
from aoii.settings.model import CHANNEL

METAVARS = {"burst": "SHARE:S[:P]", "trace": "FILE", "delay_s": "S", "neighbours": "N"}  # any other: a probability


def add_options(parser: argparse.ArgumentParser, ack_loss: str) -> None:
    """Add the options of the channel.

    Args:
        parser: Parser of a command.
        ack_loss: Default of `--ack-loss`, as its help words it.
    """
    group = parser.add_argument_group(
        "radio",
        "What happens on the air. Everything can be combined; all randomness comes from --seed. "
        f"What each option does, and what was measured with it: {advice.document('docs/explanation/radio.md')}.",
    )
    for field, setting in CHANNEL.items():
        text, default = setting.help.removesuffix("."), setting.default
        if field == "ack_loss":
            text, default = "Probability that an acknowledgement is lost", ack_loss
        form: dict[str, Any] = {"type": _argument_type(setting), "metavar": METAVARS.get(field, "P")}
        if field == "trace":
            form["type"] = file_path  # the file is checked when it is read
        elif field == "collisions":
            form = {"nargs": "?", "choices": COLLISIONS, "const": "all"}
            default = "none; without a value: all"
        name = setting.name.removeprefix("EDGE_").lower().replace("_", "-")
        ending = f" (default: {default})" if default else ""
        help_text = f"{text[0].lower()}{text[1:]}{ending}".replace("%", "%%")
        group.add_argument(f"--{name}", dest=f"channel_{field}", default=setting.unset, help=help_text, **form)


def channel_model(options: argparse.Namespace, ack_loss: float | None = None) -> ChannelModel:
    """The channel model that the options describe.

    Args:
        options: The parsed options.
        ack_loss: Probability that an acknowledgement is lost if `--ack-loss` is not given; None: that of a packet.

    Raises:
        InputError: `--neighbours` is given without `--collisions`, and would do nothing.
    """
    given = {field: getattr(options, f"channel_{field}") for field in CHANNEL}
    if given["neighbours"] and given["collisions"] == "none":
        raise InputError("--neighbours does nothing without --collisions", "add it, or leave out --neighbours")
    if given["ack_loss"] is None:
        given["ack_loss"] = given["loss"] if ack_loss is None else ack_loss
    return ChannelModel(**given)


def _argument_type(setting: Setting) -> Callable[[str], Any]:
    """The argument type that takes what the setting takes."""

    def parse(text: str) -> Any:
        try:
            return setting.kind(text)
        except KindError as wrong:
            remedy = wrong.remedy.replace("{example}", setting.example)
            raise argparse.ArgumentTypeError(f'"{text}"; {remedy}') from None

    return parse
