"""Points: a packet and its sample are recognized by their reading."""

import pytest

from aoii.web.points import Packet, Sample, event_ms, hundredths


@pytest.mark.parametrize(("temp", "hum"), [(20.29, 45.57), (-0.01, 0.0), (1.1, 99.99)])
def test_a_packet_and_its_sample_have_the_same_hundredths(temp: float, hum: float) -> None:
    sample = Sample(1, temp, hum, 0, 0, True, False)
    packet = Packet(2, temp + 1e-9, hum - 1e-9, 0, 0, "event", 1, (1, 1))

    assert hundredths(sample) == hundredths(packet) == (round(temp * 100), round(hum * 100))


def test_points_are_sorted_by_event_time() -> None:
    points = [Packet(2, 0, 0, 0, 0, "event", 1, (1, 1)), Packet(1, 9, 9, 9, 9, "event", 1, (1, 2))]

    assert [point.key for point in sorted(points, key=event_ms)] == [(1, 2), (1, 1)]
