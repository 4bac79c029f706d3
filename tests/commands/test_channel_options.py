"""The options of the simulated radio: the same for the demo and the lab, and an error for those without effect."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands import channel_options
from aoii.commands.demo_settings import channel_settings
from aoii.commands.main import build_parser
from aoii.core.errors import InputError
from aoii.settings.channel import Burst, ChannelModel

ALL = [
    *("--loss", "0.1", "--ack-loss", "0.2", "--loss-burst", "0.05:120:0.9", "--trace-loss", "trace.csv"),
    *("--duplicate", "0.3", "--reorder", "0.4", "--delay-s", "1.5", "--collisions", "capture", "--neighbours", "7"),
]
EVERYTHING = ChannelModel(0.1, 0.2, Burst(0.05, 120.0, 0.9), 0.3, 1.5, 0.4, "capture", 7, Path("trace.csv"))


def parsed(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    channel_options.add_options(parser, ack_loss="0")
    return parser.parse_args(arguments)


@pytest.mark.parametrize("command", [("demo",), ("lab", "replay")])
def test_demo_and_lab_parse_every_option_of_the_radio_alike(command: tuple[str, ...]) -> None:
    options = build_parser().parse_args([*command, *ALL])

    assert channel_options.channel_model(options, ack_loss=0.0) == EVERYTHING


def test_without_options_the_channel_is_ideal_and_acknowledgements_may_default_to_the_loss_of_packets() -> None:
    assert channel_options.channel_model(parsed(), ack_loss=0.0).is_ideal
    assert channel_options.channel_model(parsed("--loss", "0.2"), ack_loss=0.2).ack_loss == 0.2
    assert channel_options.channel_model(parsed("--collisions"), ack_loss=0.0).collisions == "all"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--loss", "1.1"), "use a probability from 0 to 1"),
        (("--loss", "nan"), "use a probability from 0 to 1"),
        (("--ack-loss", "much"), "use a probability from 0 to 1"),
        (("--loss-burst", "0.5"), "write SHARE:SECONDS"),
        (("--loss-burst", "1:60"), "write SHARE:SECONDS"),
        (("--loss-burst", "0.5:0"), "write SHARE:SECONDS"),
        (("--loss-burst", "0.5:inf"), "write SHARE:SECONDS"),
        (("--loss-burst", "0.5:60:2"), "write SHARE:SECONDS"),
        (("--delay-s", "6"), "use seconds from 0 to 5"),
        (("--collisions", "some"), "choose from"),
        (("--neighbours", "-1"), "use a whole number from 0 to"),
    ],
)
def test_a_value_that_makes_no_sense_is_rejected_with_a_remedy(
    arguments: tuple[str, str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parsed(*arguments)

    assert message in capsys.readouterr().err


def test_neighbours_without_collisions_are_rejected() -> None:
    with pytest.raises(InputError, match="add it"):
        channel_options.channel_model(parsed("--neighbours", "5"), ack_loss=0.0)


def test_what_the_demo_asks_of_the_nodes_station_arrives_there_unchanged(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.touch()
    wanted = ChannelModel(0.1, 0.2, Burst(0.05, 120.0, 0.9), 0.3, 1.5, 0.4, "capture", 7, trace)

    assert settings.load(channel_settings(wanted)).edge.channel == wanted
    assert settings.load(channel_settings(ChannelModel())).edge.channel == ChannelModel()


def test_a_station_told_only_the_loss_loses_acknowledgements_alike() -> None:
    assert settings.load({"EDGE_LOSS": "0.25"}).edge.channel == ChannelModel(0.25, 0.25)
