"""The channel of a replay: random losses, packet traces, outages, and what arrives too late."""

import pytest

from aoii.lab.channel import SimulatedChannel, lossless
from aoii.settings.channel import Burst, ChannelModel
from aoii.simulation.radio import PacketTrace


def test_losses_have_their_probabilities() -> None:
    channel = SimulatedChannel(ChannelModel(0.1, 0.4), "seed")

    ups = [channel.carries_uplink(0.0) for _ in range(20_000)]
    downs = [channel.carries_ack() for _ in range(20_000)]

    assert sum(ups) / 20_000 == pytest.approx(0.9, abs=0.01)
    assert sum(downs) / 20_000 == pytest.approx(0.6, abs=0.015)


def test_only_a_radio_that_loses_nothing_is_lossless() -> None:
    assert lossless().is_lossless
    assert not SimulatedChannel(ChannelModel(0.0, 0.1), "").is_lossless
    assert not SimulatedChannel(ChannelModel(), "", PacketTrace(60.0, (True,))).is_lossless


def test_a_packet_after_the_receive_window_is_lost_to_a_replay_and_a_copy_counts_for_nothing() -> None:
    late = SimulatedChannel(ChannelModel(delay_s=5.0), "seed")
    twice = SimulatedChannel(ChannelModel(duplicate=1.0), "seed")

    received = sum(late.carries_uplink(60.0 * minute) for minute in range(10_000)) / 10_000

    assert received == pytest.approx(0.7735 / 5, abs=0.02)  # half of what two packets leave of 2 s, out of 5 s
    assert all(twice.carries_uplink(60.0 * minute) and twice.carries_ack() for minute in range(100))


def test_a_try_in_an_outage_fails_as_the_one_before() -> None:
    channel = SimulatedChannel(ChannelModel(burst=Burst(0.3, 3600.0)), "seed")

    tries = [[channel.carries_uplink(3600.0 * hour) for _ in range(6)] for hour in range(1000)]

    assert sum(len(set(some)) == 1 for some in tries) > 990
    assert sum(some[0] for some in tries) / 1000 == pytest.approx(0.7, abs=0.05)


def test_the_tries_of_one_node_do_not_collide_with_each_other() -> None:
    channel = SimulatedChannel(ChannelModel(collisions="all"), "seed")

    assert all(channel.carries_uplink(0.0) and channel.carries_ack() for _ in range(10))


def test_a_trace_is_replayed_over_and_over_and_every_try_of_an_interval_is_lost() -> None:
    channel = SimulatedChannel(ChannelModel(), "", PacketTrace(60.0, (True, False, True)))

    assert [channel.carries_uplink(at_s) for at_s in (0, 59.9, 60, 90, 119.9, 120, 180, 240)] == [
        1,
        1,
        0,
        0,
        0,
        1,
        1,
        0,
    ]
