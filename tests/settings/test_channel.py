"""The channel model: which channel loses nothing."""

from pathlib import Path

from aoii.settings.channel import Burst, ChannelModel


def test_a_channel_is_ideal_only_if_nothing_happens_to_packets() -> None:
    assert ChannelModel().is_ideal
    assert ChannelModel(neighbours=5).is_ideal  # they only collide
    for disturbed in (
        ChannelModel(loss=0.1), ChannelModel(ack_loss=0.1), ChannelModel(burst=Burst(0.1, 1.0)),
        ChannelModel(duplicate=0.1), ChannelModel(delay_s=0.1), ChannelModel(reorder=0.1),
        ChannelModel(collisions="all"), ChannelModel(trace=Path("x")),
    ):  # fmt: skip
        assert not disturbed.is_ideal
