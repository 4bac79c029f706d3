"""The channel model: how outages are written, and which channel loses nothing."""

from pathlib import Path

import pytest

from aoii.settings.channel import Burst, ChannelModel, parse_burst


@pytest.mark.parametrize("burst", [Burst(0.05, 120.0), Burst(0.0, 1.5, 0.5), Burst(0.999, 0.1, 0.0)])
def test_outages_are_read_as_they_are_written(burst: Burst) -> None:
    assert parse_burst(str(burst)) == burst


def test_no_text_means_no_outages_and_a_packet_is_lost_in_one_unless_said_otherwise() -> None:
    assert parse_burst("") is None
    assert parse_burst("0.05:120") == Burst(0.05, 120.0, 1.0)


@pytest.mark.parametrize(
    "text", ["0.5", "1:60", "-0.1:60", "0.5:0", "0.5:inf", "0.5:nan", "nan:60", "0.5:60:2", "0.5:60:1:1", "a:b", ":"]
)
def test_outages_that_cannot_be_are_an_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the caller names the text and what to write
        parse_burst(text)


def test_a_channel_is_fair_only_if_nothing_happens_to_packets() -> None:
    assert ChannelModel().is_fair
    assert ChannelModel(neighbours=5).is_fair  # they only collide
    for unfair in (
        ChannelModel(loss=0.1), ChannelModel(ack_loss=0.1), ChannelModel(burst=Burst(0.1, 1.0)),
        ChannelModel(duplicate=0.1), ChannelModel(delay_s=0.1), ChannelModel(reorder=0.1),
        ChannelModel(collisions="all"), ChannelModel(trace=Path("x")),
    ):  # fmt: skip
        assert not unfair.is_fair
