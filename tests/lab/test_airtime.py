"""Airtime and energy against published values and arithmetic by hand."""

import math

import pytest

from aoii.core import frames
from aoii.core.frames import UPLINK_BYTES
from aoii.core.link_timing import TIMING
from aoii.lab.airtime import ACK_BYTES, Radio, airtime_s


def test_the_published_check_value() -> None:
    assert airtime_s(13, 9) * 1000 == pytest.approx(164.864, abs=1e-9)


@pytest.mark.parametrize(("sf", "ms"), [(7, 51.5), (10, 329.7), (12, 1318.9)])
def test_sixteen_bytes(sf: int, ms: float) -> None:
    assert airtime_s(16, sf) * 1000 == pytest.approx(ms, abs=0.06)


@pytest.mark.parametrize(
    ("sf", "ms"), [(7, 71.936), (8, 133.632), (9, 246.784), (10, 452.608), (11, 987.136), (12, 1810.432)]
)
def test_an_uplink_of_ours_by_hand(sf: int, ms: float) -> None:
    """32 bytes: 8 x 32 - 4 SF + 44 bits, in 4 (SF - 2 DE) a block of five symbols, and 20.25 symbols before."""
    blocks = {7: 10, 8: 9, 9: 8, 10: 7, 11: 8, 12: 7}[sf]
    assert ms == pytest.approx((20.25 + 5 * blocks) * 2**sf / 125)

    assert airtime_s(32, sf) * 1000 == pytest.approx(ms)


def test_the_links_own_airtime_is_that_of_the_formula() -> None:
    assert math.ceil(airtime_s(UPLINK_BYTES, 9) * 1000) == TIMING.airtime_ms
    assert ACK_BYTES == frames.ACK_BYTES


def test_options_of_the_formula() -> None:
    """Symbols counted by hand from AN1200.13, section 4.1: 8 + ceil(...)(CR + 4)."""
    assert airtime_s(16, 7, preamble=12) - airtime_s(16, 7) == pytest.approx(4 * 2**7 / 125_000)
    assert airtime_s(16, 7, bandwidth_hz=250_000) == pytest.approx(airtime_s(16, 7) / 2)
    assert airtime_s(16, 7, coding_rate=4) == pytest.approx((12.25 + 8 + 6 * 8) * 2**7 / 125_000)
    assert airtime_s(16, 7, header=False) == pytest.approx((12.25 + 8 + 5 * 5) * 2**7 / 125_000)
    assert airtime_s(0, 12) == pytest.approx((12.25 + 8) * 2**12 / 125_000)  # nothing is no less than nothing


def test_a_longer_packet_is_never_shorter_on_air() -> None:
    for sf in range(7, 13):
        times = [airtime_s(size, sf) for size in range(256)]
        assert times == sorted(times)


def test_energy_by_hand() -> None:
    """One packet at SF7, 13 dBm, no samples: transmission, listening, awake for both, sleep for the rest."""
    up, listen = airtime_s(32, 7), 0.1 + airtime_s(ACK_BYTES, 7)
    charge_mas = up * 29 + listen * 11.5 + (up + listen) * 40 + (86_400 - up - listen) * 0.010

    assert Radio(7).energy_mj_per_day(0, 1, 32) == pytest.approx(3.3 * charge_mas)
    assert Radio(7).energy_mj_per_packet(32) == pytest.approx(3.3 * (up * 29 + listen * 11.5 + (up + listen) * 40))


def test_with_light_sleep_saved_packets_hardly_matter() -> None:
    light = [Radio(7, light_sleep=True).energy_mj_per_day(1440, packets, 32) for packets in (1440, 144)]
    deep = [Radio(12, 20).energy_mj_per_day(1440, packets, 32) for packets in (1440, 144)]

    assert light[1] > 0.8 * light[0]
    assert deep[1] < 0.25 * deep[0]


def test_battery_life() -> None:
    assert Radio.battery_years(3.3 * 3600, 365.25) == pytest.approx(1.0)  # one mAh a day
