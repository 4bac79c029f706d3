"""Points: a packet and its sample have the same reading; a track is sorted, limited, and knows what is new."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.web.points import Packet, Sample, Track, event_ms, hundredths


def sample(at_ms: int) -> Sample:
    return Sample(at_ms, 0, 0, 0, 0, False, False)


def track_of(times: list[int], limit: int = 100) -> Track[Sample]:
    """Samples that arrived in this order, the first at version 1."""
    track: Track[Sample] = Track()
    for version, at_ms in enumerate(times, 1):
        track.add(sample(at_ms), version, limit)
    return track


@pytest.mark.parametrize(("temp", "hum"), [(20.29, 45.57), (-0.01, 0.0), (1.1, 99.99)])
def test_a_packet_and_its_sample_have_the_same_hundredths(temp: float, hum: float) -> None:
    sample = Sample(1, temp, hum, 0, 0, True, False)
    packet = Packet(2, temp + 1e-9, hum - 1e-9, 0, 0, "event", 1, (1, 1))

    assert hundredths(sample) == hundredths(packet) == (round(temp * 100), round(hum * 100))


def test_points_are_sorted_by_event_time() -> None:
    points = [Packet(2, 0, 0, 0, 0, "event", 1, (1, 1)), Packet(1, 9, 9, 9, 9, "event", 1, (1, 2))]

    assert [point.key for point in sorted(points, key=event_ms)] == [(1, 2), (1, 1)]


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 20))
def test_a_track_is_sorted_bounded_and_keeps_the_latest(times: list[int], limit: int) -> None:
    track: Track[Sample] = Track()

    for version, at_ms in enumerate(times):
        track.add(Sample(at_ms, 0, 0, 0, 0, False, False), version, limit)

    held = [point.at_ms for point in track.between(0, 50)]
    assert held == sorted(held)
    assert len(held) == min(len(times), limit)
    assert (max(held) if held else None) == (max(times) if times else None)


def test_new_points_come_in_their_order_of_arrival() -> None:
    track = track_of([30, 10, 20])

    assert track.since(1) == [sample(10), sample(20)]
    assert track.since(3) == []


def test_new_points_are_unknown_once_some_of_them_were_dropped() -> None:
    track = track_of([10, 20, 30], limit=2)

    assert track.since(0) is None
    assert track.since(1) == [sample(20), sample(30)]


def test_a_track_knows_its_ends_and_the_points_between() -> None:
    track, empty = track_of([30, 10, 20]), track_of([])

    assert (track.ends(), track.last) == ((10, 30), sample(30))
    assert (empty.ends(), empty.last) == ((), None)
    assert track.between(10, 20) == [sample(10), sample(20)]
    assert track.between(11, 19) == []
