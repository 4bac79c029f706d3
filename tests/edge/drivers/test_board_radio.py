"""The radio driver against a model of the SX127x, down to its registers."""

import math
from functools import partial

import pytest

from aoii.core.errors import InputError, UnavailableError
from aoii.edge.drivers.board_radio import BANDWIDTHS, DEFAULT_AIR, Air, Packet, Radio, airtime_ms
from aoii.lab import airtime
from parts import models
from parts.models import Clock, Sx127x

SENT = bytes(range(32))


class Bench:
    """A radio driver on its chip, and what left the antenna."""

    def __init__(self, air: Air = DEFAULT_AIR) -> None:
        self.clock = Clock()
        self.sent: list[bytes] = []
        self.chip = Sx127x(self.clock, self.sent.append)
        self.radio = Radio(self.chip.spi, self.chip.select, self.chip.reset, self.clock, air)


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize("frequency_hz", [433_000_000, 868_100_000, 922_100_000])
@pytest.mark.parametrize("spreading", [7, 9, 12])
@pytest.mark.parametrize("bandwidth_hz", sorted(BANDWIDTHS))
def test_the_chip_is_set_as_asked(frequency_hz: int, spreading: int, bandwidth_hz: int) -> None:
    bench = Bench(Air(frequency_hz, spreading, bandwidth_hz, 6, 0x34, 10, 17))
    frf, bandwidth, factor, sync_word = bench.chip.air()
    registers = bench.chip.registers

    assert abs(frf * 32_000_000 / 2**19 - frequency_hz) < 62
    assert (models.BANDWIDTHS_HZ[bandwidth], factor, sync_word) == (bandwidth_hz, spreading, 0x34)
    assert registers[0x1D] & 0x0F == 4  # 4/6, explicit header
    assert registers[0x1E] & 0x04  # check sum on
    assert (registers[0x26] >> 3 & 1) == (2**spreading / bandwidth_hz > 0.016)
    assert (registers[0x01] >> 3 & 1) == (frequency_hz < 525_000_000)
    assert registers[0x20] << 8 | registers[0x21] == 10
    assert registers[0x09] == 0xFF  # 17 dBm
    assert registers[0x0E] == registers[0x0F] == 0
    assert bench.chip.faults == []


@pytest.mark.parametrize(
    "change",
    [
        {"frequency_hz": 2_400_000_000},
        {"spreading": 6},
        {"spreading": 13},
        {"bandwidth_hz": 500_000},
        {"coding": 4},
        {"sync_word": 256},
        {"preamble": 5},
        {"power_dbm": 20},
    ],
)
def test_settings_that_the_driver_does_not_have_are_rejected_by_name(change: dict[str, int]) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        Bench(DEFAULT_AIR._replace(**change))


def test_a_chip_that_does_not_answer_is_said_with_what_it_answered() -> None:
    clock = Clock()
    chip = Sx127x(clock, lambda data: None)
    chip.version = 0

    with pytest.raises(UnavailableError, match="0x42 is 0x00"):
        Radio(chip.spi, chip.select, None, clock, DEFAULT_AIR)


def test_what_is_sent_leaves_the_antenna_and_takes_its_airtime(bench: Bench) -> None:
    before_ms = bench.clock.now_ms()

    assert bench.radio.send(SENT)

    assert bench.sent == [SENT]
    assert 0 <= bench.clock.now_ms() - before_ms - airtime_ms(DEFAULT_AIR, 32) <= 5
    assert bench.chip.faults == []


@pytest.mark.parametrize("spreading", range(7, 13))
@pytest.mark.parametrize("size", [1, 13, 22, 32])
def test_the_airtime_is_that_of_the_published_formula(spreading: int, size: int) -> None:
    expected_ms = 1000 * airtime.airtime_s(size, spreading)

    assert airtime_ms(DEFAULT_AIR._replace(spreading=spreading), size) == math.ceil(round(expected_ms, 6))


def test_the_airtime_of_the_application_notes_example() -> None:
    assert airtime_ms(Air(868_000_000, 9, 125_000, 5, 0x12, 8, 14), 13) == 165  # 164.864


def test_a_radio_that_never_gets_done_is_given_up(bench: Bench) -> None:
    bench.chip.is_deaf = True

    assert not bench.radio.send(SENT)
    assert bench.clock.now_ms() < 2 * airtime_ms(DEFAULT_AIR, 32) + 200

    bench.chip.is_deaf = False
    assert bench.radio.send(SENT)
    assert bench.chip.faults == []


def test_a_radio_that_hangs_is_reset_and_set_up_anew(bench: Bench) -> None:
    settings = bytes(bench.chip.registers[0x06:0x3A])
    bench.chip.is_deaf = True
    bench.radio.send(SENT)
    bench.chip.is_deaf = False

    assert bench.chip.resets == 2
    bench.chip.registers[0x0D] = bench.chip.registers[0x22] = 0  # where the FIFO stood
    assert bytes(bench.chip.registers[0x06:0x3A]) == settings


def test_a_radio_that_vanished_is_an_error(bench: Bench) -> None:
    bench.chip.is_deaf = True
    bench.chip.version = 0xFF

    with pytest.raises(UnavailableError, match="0xff"):
        bench.radio.send(SENT)


@pytest.mark.parametrize(("frequency_hz", "rssi", "snr"), [(433_000_000, -97, 7), (868_100_000, -120, -9)])
def test_a_packet_comes_with_its_strength(frequency_hz: int, rssi: int, snr: int) -> None:
    bench = Bench(DEFAULT_AIR._replace(frequency_hz=frequency_hz))
    bench.clock.schedule(500, lambda: bench.chip.arrive(SENT, rssi, snr))

    packet = bench.radio.receive(2000)

    assert packet == Packet(SENT, rssi, snr)
    assert 500 <= bench.clock.now_ms() <= 505
    assert bench.radio.poll() is None


def test_nothing_comes_and_the_wait_ends(bench: Bench) -> None:
    before_ms = bench.clock.now_ms()

    assert bench.radio.receive(1500) is None
    assert bench.clock.now_ms() - before_ms == 1500


def test_a_damaged_packet_is_counted_and_the_next_one_comes(bench: Bench) -> None:
    bench.clock.schedule(100, lambda: bench.chip.arrive(b"damaged", -90, 5, is_whole=False))
    bench.clock.schedule(300, lambda: bench.chip.arrive(SENT, -90, 5))

    packet = bench.radio.receive(1000)

    assert packet is not None
    assert (packet.data, bench.radio.damaged) == (SENT, 1)


def test_packets_one_after_the_other_are_all_received(bench: Bench) -> None:
    found = []
    for number in range(20):
        at_ms = bench.clock.now_ms() + 50
        bench.clock.schedule(at_ms, partial(bench.chip.arrive, bytes((number,)) * 30, -90, 5))
        packet = bench.radio.receive(100)
        found.append(packet.data[0] if packet else None)
        if number % 5 == 0:
            bench.radio.send(SENT)

    assert found == list(range(20))
    assert bench.chip.faults == []


@pytest.mark.parametrize(
    ("level_dbm", "has_preamble", "is_free"),
    [(-120, False, True), (-66, False, True), (-64, False, False), (-120, True, False)],
)
def test_the_channel_is_free_when_neither_power_nor_a_preamble_is_in_it(
    bench: Bench, level_dbm: int, has_preamble: bool, is_free: bool
) -> None:
    bench.chip.level_dbm, bench.chip.has_preamble = level_dbm, has_preamble
    before_ms = bench.clock.now_ms()

    found = bench.radio.is_free()

    assert found == is_free
    assert not is_free or bench.clock.now_ms() - before_ms >= 5
    assert bench.radio.send(SENT)
    assert bench.chip.faults == []


def test_a_sleeping_radio_is_asleep_and_wakes_to_send(bench: Bench) -> None:
    bench.radio.sleep()
    asleep = bench.chip.mode

    assert asleep == models.SLEEP
    assert bench.radio.send(SENT)
    assert bench.chip.faults == []
