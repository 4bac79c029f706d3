"""The simulated radio: each effect, exactly where that is possible, and by count with a fixed seed."""

import itertools
import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.settings.channel import COLLISIONS, Burst, ChannelModel
from aoii.simulation.radio import (
    COPY_LIMIT_MS,
    DOWNLINK_MS,
    REASONS,
    UPLINK_MS,
    PacketTrace,
    Radio,
    Reception,
    Transmission,
)

MANY = 20_000
APART_MS = 10_000


def draws(seed: int = 1) -> Callable[[], float]:
    return random.Random(seed).random


def sent(
    radio: Radio, count: int, node: int = 1, is_up: bool = True, apart_ms: int = APART_MS
) -> list[list[Reception]]:
    """What arrived at the end of each of so many packets, one after the other."""
    return [radio.arrivals(radio.transmit(node, is_up, number * apart_ms, b"%d" % number)) for number in range(count)]


def share_received(channel: ChannelModel, is_up: bool = True, count: int = MANY) -> float:
    return sum(map(bool, sent(Radio(channel, draws()), count, is_up=is_up))) / count


def carried(radio: Radio, packets: list[tuple[int, bool, int]]) -> list[tuple[Transmission, list[Reception]]]:
    """Packets (node, whether up, begin) in order of time, each with what arrived at its end, in order of the ends."""
    on_air: list[Transmission] = []
    ended: list[tuple[Transmission, list[Reception]]] = []
    for node, is_up, begin_ms in [*sorted(packets, key=lambda packet: packet[2]), (0, True, 1 << 40)]:
        for one in sorted((one for one in on_air if one.end_ms <= begin_ms), key=lambda one: one.end_ms):
            on_air.remove(one)
            ended.append((one, radio.arrivals(one)))
        if node:
            on_air.append(radio.transmit(node, is_up, begin_ms, b"%d" % begin_ms))
    return ended


def overlapping(radio: Radio, *packets: tuple[int, bool, int]) -> list[bool]:
    """Which of these packets (node, whether up, begin), in order of time, arrive."""
    ended = sorted(carried(radio, list(packets)), key=lambda end: end[0].begin_ms)
    return [bool(receptions) for _, receptions in ended]


def test_on_a_fair_channel_every_packet_arrives_once_when_its_time_on_air_is_over() -> None:
    radio = Radio(ChannelModel(), draws())

    up, down = radio.transmit(1, True, 5, b"up"), radio.transmit(1, False, 7, b"down")

    assert radio.arrivals(up) == [Reception(up, 5 + UPLINK_MS)]
    assert radio.arrivals(down) == [Reception(down, 7 + DOWNLINK_MS)]
    assert radio.counts == {"sent": 2, "received": 2}


def test_losses_have_their_probability_in_each_direction() -> None:
    channel = ChannelModel(loss=0.3, ack_loss=0.1)

    assert share_received(channel) == pytest.approx(0.7, abs=0.01)
    assert share_received(channel, is_up=False) == pytest.approx(0.9, abs=0.01)


def test_a_dead_radio_carries_nothing() -> None:
    assert share_received(ChannelModel(loss=1.0), count=1000) == 0


@pytest.mark.parametrize("share", [0.05, 0.5])
@pytest.mark.parametrize("mean_s", [20.0, 120.0])
def test_outages_take_their_share_of_the_time_and_last_as_long_as_they_should(share: float, mean_s: float) -> None:
    radio = Radio(ChannelModel(burst=Burst(share, mean_s)), draws())

    lost = [not received for received in sent(radio, 200_000, apart_ms=1000)]

    runs_s = [len(list(run)) for is_lost, run in itertools.groupby(lost) if is_lost]
    assert sum(lost) / len(lost) == pytest.approx(share, rel=0.15)
    assert sum(runs_s) / len(runs_s) == pytest.approx(mean_s, rel=0.15)


def test_in_an_outage_only_its_own_share_of_packets_is_lost_and_both_directions_are_out_together() -> None:
    partial = Radio(ChannelModel(burst=Burst(0.5, 3600.0, 0.4)), draws())
    total = Radio(ChannelModel(burst=Burst(0.5, 3600.0)), draws())

    lost = sum(not received for received in sent(partial, MANY, apart_ms=3_600_000)) / MANY
    pairs = [
        (
            bool(total.arrivals(total.transmit(1, True, at_ms))),
            bool(total.arrivals(total.transmit(1, False, at_ms + 500))),
        )
        for at_ms in range(0, 36_000_000, 60_000)
    ]

    assert lost == pytest.approx(0.5 * 0.4, abs=0.01)
    assert sum(up == down for up, down in pairs) > 0.99 * len(pairs)
    assert {up for up, _ in pairs} == {True, False}


def test_nodes_have_outages_of_their_own() -> None:
    radio = Radio(ChannelModel(burst=Burst(0.5, 600.0)), draws())

    outcomes = [
        [bool(radio.arrivals(radio.transmit(node, True, at_ms))) for node in (1, 2)]
        for at_ms in range(0, 10**8, 60_000)
    ]

    assert sum(one == other for one, other in outcomes) / len(outcomes) == pytest.approx(0.5, abs=0.15)


def test_a_trace_decides_for_every_try_of_an_interval_and_for_no_answer() -> None:
    calls: list[int] = []

    def trace(node: int) -> PacketTrace:
        calls.append(node)
        return PacketTrace(60.0, (True, False, True))

    radio = Radio(ChannelModel(), draws(), trace)
    instants = [0, 59_999, 60_000, 90_000, 119_999, 120_000, 180_000, 240_000]

    assert [bool(radio.arrivals(radio.transmit(4, True, at_ms))) for at_ms in instants] == [1, 1, 0, 0, 0, 1, 1, 0]
    assert radio.arrivals(radio.transmit(4, False, 60_000))
    assert radio.counts["lost_trace"] == 4
    assert calls == [4]


def test_a_copy_is_the_same_packet_soon_after() -> None:
    radio = Radio(ChannelModel(duplicate=1.0), draws())

    for receptions in sent(radio, 1000):
        first, second = receptions
        assert first.transmission is second.transmission
        assert first.transmission.end_ms <= first.at_ms <= second.at_ms <= first.transmission.end_ms + COPY_LIMIT_MS


def test_a_reordered_packet_arrives_right_after_the_next_of_its_sender() -> None:
    radio = Radio(ChannelModel(reorder=1.0), draws())

    received = [[one.transmission.data for one in receptions] for receptions in sent(radio, 4)]
    other = sent(radio, 1, node=2)

    assert received == [[], [b"1", b"0"], [], [b"3", b"2"]]
    assert other == [[]]
    assert radio.counts == {"sent": 5, "received": 4, "reordered": 2}


def test_delays_are_spread_evenly_up_to_the_longest() -> None:
    late_ms = [one.at_ms - one.transmission.end_ms for (one,) in sent(Radio(ChannelModel(delay_s=2.0), draws()), MANY)]

    assert min(late_ms) >= 0
    assert max(late_ms) <= 2000
    assert sum(late_ms) / MANY == pytest.approx(1000, abs=20)


def test_packets_that_overlap_are_lost_and_packets_that_touch_are_not() -> None:
    def received(*packets: tuple[int, bool, int]) -> list[bool]:
        return overlapping(Radio(ChannelModel(collisions="all"), draws()), *packets)

    assert received((1, True, 0), (2, True, UPLINK_MS - 1)) == [False, False]
    assert received((1, True, 0), (2, True, UPLINK_MS)) == [True, True]
    assert received((1, True, 0), (2, False, 100)) == [False, False]
    assert received((1, True, 0), (2, True, 200), (3, True, 400)) == [False, False, False]
    assert received((1, True, 0), (2, True, 200), (3, True, 900)) == [False, False, True]


def test_without_collisions_any_number_of_packets_fits_on_the_air() -> None:
    assert overlapping(Radio(ChannelModel(), draws()), (1, True, 0), (2, True, 1), (3, False, 2)) == [True] * 3


def test_with_capture_the_stronger_packet_arrives_if_it_is_strong_enough() -> None:
    def received(*levels: float) -> list[bool]:
        radio = Radio(ChannelModel(collisions="capture"), draws())
        radio._levels_db = {node: 30 * level for node, level in enumerate(levels, 1)}
        return overlapping(radio, *((node, True, node) for node in range(1, len(levels) + 1)))

    assert received(0.5, 0.1) == [True, False]
    assert received(0.5, 0.4) == [False, False]
    assert received(0.1, 0.9, 0.5) == [False, True, False]


def test_a_gateway_that_sends_receives_nothing_however_strong() -> None:
    radio = Radio(ChannelModel(collisions="capture"), draws())
    radio._levels_db = {1: 0.0, 2: 30.0}

    assert overlapping(radio, (1, False, 0), (2, True, 10)) == [False, False]


@pytest.mark.parametrize(("collisions", "share"), [("all", 1.0), ("capture", None)])
def test_neighbours_cost_what_the_aloha_formula_says(collisions: str, share: float | None) -> None:
    neighbours = 60
    load = neighbours * UPLINK_MS / 60_000
    expected = math.exp(-2 * load)
    if share is None:  # averaged over the level of our node, even over 30 dB
        harmful = [min(1.0, 1 - (30 * level / 1000 - 6) / 30) for level in range(1000)]
        expected = sum(math.exp(-2 * load * part) for part in harmful) / 1000
    radio = Radio(ChannelModel(collisions=collisions, neighbours=neighbours), draws())

    received = (
        sum(bool(radio.arrivals(radio.transmit(number, True, number * APART_MS))) for number in range(MANY)) / MANY
    )

    assert received == pytest.approx(expected, abs=0.015)
    assert radio.counts["lost_collision"] == MANY - radio.counts["received"]


PROBABILITY = st.sampled_from([0.0, 0.1, 0.5, 1.0])
CHANNELS = st.builds(
    ChannelModel,
    loss=PROBABILITY,
    ack_loss=PROBABILITY,
    burst=st.none() | st.builds(Burst, st.sampled_from([0.0, 0.3, 0.9]), st.floats(0.1, 1e4), PROBABILITY),
    duplicate=PROBABILITY,
    delay_s=st.floats(0, 5),
    reorder=PROBABILITY,
    collisions=st.sampled_from(COLLISIONS),
    neighbours=st.integers(0, 100),
)
PACKETS = st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.integers(0, 9000)), max_size=40)


@given(CHANNELS, PACKETS, st.integers(0, 99))
def test_on_any_channel_nothing_arrives_that_was_not_sent_or_before_its_time(
    channel: ChannelModel, packets: list[tuple[int, bool, int]], seed: int
) -> None:
    radio = Radio(channel, draws(seed))

    ended = carried(radio, packets)

    received = [(one, end) for end, receptions in ended for one in receptions]
    for one, end in received:
        assert (one.transmission.node, one.transmission.is_up) == (end.node, end.is_up)
        assert one.transmission.end_ms <= one.at_ms <= end.end_ms + COPY_LIMIT_MS + 1
    assert all(receptions == sorted(receptions, key=lambda one: one.at_ms) for _, receptions in ended)
    counts = radio.counts
    distinct = len({id(one.transmission) for one, _ in received})
    assert counts["sent"] == len(packets)
    assert counts["received"] == distinct
    assert len(received) == distinct + counts["duplicated"]
    assert distinct + sum(counts[f"lost_{reason}"] for reason in REASONS) + len(radio._held) == len(packets)


@given(CHANNELS, PACKETS, st.integers(0, 99))
def test_one_seed_is_one_outcome(channel: ChannelModel, packets: list[tuple[int, bool, int]], seed: int) -> None:
    assert carried(Radio(channel, draws(seed)), packets) == carried(Radio(channel, draws(seed)), packets)


def test_a_node_that_listens_detects_what_is_on_the_air() -> None:
    radio = Radio(ChannelModel(collisions="all"), draws())
    radio.transmit(1, True, 1000)

    assert [radio.is_busy(at_ms) for at_ms in (999, 1000, 999 + UPLINK_MS, 1000 + UPLINK_MS)] == [
        False,
        True,
        True,
        False,
    ]


def test_where_nothing_collides_nothing_is_detected() -> None:
    radio = Radio(ChannelModel(neighbours=100), draws())
    radio.transmit(1, True, 1000)

    assert not radio.is_busy(1000)


def test_neighbours_are_detected_for_their_share_of_the_time() -> None:
    radio = Radio(ChannelModel(collisions="all", neighbours=100), draws())

    received = sum(radio.is_busy(number) for number in range(MANY)) / MANY

    assert received == pytest.approx(1 - math.exp(-100 * UPLINK_MS / 60_000), abs=0.01)
