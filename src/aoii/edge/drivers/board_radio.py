"""The SX127x LoRa radio over SPI: sends and receives packets, and detects whether the channel is busy.

It polls, so it needs no pins but chip select and reset. Headers are explicit, so that packets of any length are
received, and packets are sent with a CRC. Bandwidths, spreading factors and powers for which the chip needs other
register settings are not supported.

Source: Semtech SX1276/77/78/79 data sheet, revision 7, chapter 4 and table 41; errata note, revision 1, section 2.3.
"""

from collections import namedtuple

from ...core.errors import InputError, UnavailableError

MYPY = False
if MYPY:
    from .board_interfaces import Clock, Pin, Spi

FIFO = 0x00
OP_MODE = 0x01
FRF = 0x06  # three registers, highest first
PA_CONFIG = 0x09
LNA = 0x0C
FIFO_ADDRESS = 0x0D
FIFO_TX_BASE = 0x0E
FIFO_RX_BASE = 0x0F
FIFO_RX_CURRENT = 0x10
IRQ_FLAGS = 0x12
RX_BYTES = 0x13
PACKET_SNR = 0x19
PACKET_RSSI = 0x1A
RSSI = 0x1B
MODEM_CONFIG_1 = 0x1D
MODEM_CONFIG_2 = 0x1E
PREAMBLE = 0x20  # two registers
PAYLOAD_LENGTH = 0x22
MODEM_CONFIG_3 = 0x26
IF_FREQ_2 = 0x2F
IF_FREQ_1 = 0x30
DETECT_OPTIMIZE = 0x31
DETECTION_THRESHOLD = 0x37
SYNC_WORD = 0x39
VERSION = 0x42

WRITE = 0x80  # in the address

LORA = 0x80
LOW_FREQUENCY = 0x08
SLEEP, STANDBY, TX, RX_CONTINUOUS, CAD = 0, 1, 3, 5, 7

RX_DONE = 0x40
CRC_ERROR = 0x20
TX_DONE = 0x08
CAD_DONE = 0x04
CAD_DETECTED = 0x01
ALL_FLAGS = 0xFF

SILICON = 0x12  # content of VERSION in the whole family
CRYSTAL_HZ = 32_000_000
BANDWIDTHS = {62_500: 6, 125_000: 7, 250_000: 8}  # the bandwidths for which erratum 2.3 needs no shift of the frequency
LOW_BAND_HZ = 525_000_000  # the upper end of the low frequency bands
RSSI_LOW_DBM, RSSI_HIGH_DBM = -164, -157  # data sheet 5.5.5
LNA_BOOST = 0x23  # highest gain, boosted in the high band
AGC = 0x04
LOW_DATA_RATE = 0x08
PA_BOOST = 0xF0  # with the highest MaxPower, which this pin does not use

POLL_MS = 5
RESET_MS = 10
CARRIER_DBM = -65  # KR920: listen before talk at this strength, for 5 ms
CARRIER_MS = 5


class Air(namedtuple("Air", "frequency_hz spreading bandwidth_hz coding sync_word preamble power_dbm")):
    """Radio settings; all but the power must be the same at both ends.

    Attributes:
        frequency_hz: 137,000,000..1,020,000,000: the range of the chip, not what is lawful.
        spreading: Spreading factor, 7..12.
        bandwidth_hz: A key of BANDWIDTHS.
        coding: Denominator of the coding rate 4/x, 5..8.
        sync_word: 0..255; 0x12 for private networks.
        preamble: Length, symbols, 6..65535.
        power_dbm: 2..17, at the pin PA_BOOST.
    """

    __slots__ = ()
    frequency_hz: int
    spreading: int
    bandwidth_hz: int
    coding: int
    sync_word: int
    preamble: int
    power_dbm: int


DEFAULT_AIR = Air(433_000_000, 9, 125_000, 5, 0x12, 8, 14)


class Packet(namedtuple("Packet", "data rssi_dbm snr_db")):
    """A received packet.

    Attributes:
        data: Its bytes.
        rssi_dbm: Signal strength.
        snr_db: Signal-to-noise ratio.
    """

    __slots__ = ()
    data: bytes
    rssi_dbm: int
    snr_db: int


def air_fault(air: Air) -> str:
    """The first fault of radio settings, with its remedy; empty when there is none."""
    for name, low, high in (
        ("frequency_hz", 137_000_000, 1_020_000_000),
        ("spreading", 7, 12),
        ("coding", 5, 8),
        ("sync_word", 0, 255),
        ("preamble", 6, 65535),
        ("power_dbm", 2, 17),
    ):
        value = getattr(air, name)
        if not low <= value <= high:
            return f"{name} is {value}; use {low} to {high}"
    if air.bandwidth_hz not in BANDWIDTHS:
        return f"bandwidth_hz is {air.bandwidth_hz}; use one of {sorted(BANDWIDTHS)}"
    return ""


def airtime_ms(air: Air, size: int) -> int:
    """Airtime of a packet of `size` bytes with a CRC, milliseconds, rounded up.

    Source: Semtech AN1200.13, section 4.
    """
    factor = air.spreading
    symbol_us = (1 << factor) * 1_000_000 // air.bandwidth_hz
    slow = 2 if _is_slow(air) else 0
    bits = 8 * size - 4 * factor + 28 + 16
    symbols = 8 + max(0, -(-bits // (4 * (factor - slow)))) * air.coding
    return -(-((4 * air.preamble + 17 + 4 * symbols) * symbol_us) // 4000)


def _is_slow(air: Air) -> bool:
    """Whether a symbol is longer than 16 ms and needs the low data rate optimisation."""
    return (1 << air.spreading) * 1000 > 16 * air.bandwidth_hz


class Radio:
    """One radio.

    Args:
        spi: At most 10 MHz, polarity and phase 0.
        select: Chip select, low during a transfer.
        reset: Reset, low to reset; None when it is not wired.
        clock: Time.
        air: Radio settings.

    Attributes:
        damaged: Number of packets with a wrong CRC.

    Raises:
        InputError: This driver does not support the radio settings.
        UnavailableError: No SX127x answers.
    """

    def __init__(self, spi: "Spi", select: "Pin", reset: "Pin | None", clock: "Clock", air: Air) -> None:
        fault = air_fault(air)
        if fault:
            raise InputError(f"radio settings: {fault}")
        self._spi = spi
        self._select = select
        self._reset = reset
        self._clock = clock
        self._air = air
        self._is_low_band = air.frequency_hz <= LOW_BAND_HZ
        self._is_listening = False
        self.damaged = 0
        select(1)
        self.start()

    def start(self) -> None:
        """Reset the chip and configure it, at the start or when it does not respond.

        Raises:
            UnavailableError: No SX127x answers.
        """
        if self._reset is not None:
            self._reset(0)
            self._clock.sleep_ms(RESET_MS)
            self._reset(1)
            self._clock.sleep_ms(RESET_MS)
        found = self._get(VERSION)
        if found != SILICON:
            raise UnavailableError(
                f"no SX127x answers on SPI (register 0x42 is {found:#04x}, not {SILICON:#04x}); check the wiring"
            )
        self._configure()

    def send(self, data: bytes) -> bool:
        """Send and wait until the packet is sent.

        Returns:
            False when the radio does not confirm it within twice the airtime and 100 ms. Then the radio is restarted.

        Raises:
            UnavailableError: The radio does not answer when it is restarted.
        """
        self.start_sending(data)
        duration_ms = airtime_ms(self._air, len(data))
        deadline_ms = self._clock.now_ms() + 2 * duration_ms + 100
        self._clock.sleep_ms(duration_ms)
        while not self.is_sent():
            if self._clock.now_ms() > deadline_ms:
                self.start()
                return False
            self._clock.sleep_ms(POLL_MS)
        return True

    def start_sending(self, data: bytes) -> None:
        """Begin to send 1 to 255 bytes and return at once; `is_sent` tells when they are sent."""
        self._mode(STANDBY)
        self._set(IRQ_FLAGS, ALL_FLAGS)
        self._set(FIFO_ADDRESS, 0)
        self._put(FIFO, data)
        self._set(PAYLOAD_LENGTH, len(data))
        self._mode(TX)

    def is_sent(self) -> bool:
        """Whether the packet of `start_sending` is sent; true once for each packet."""
        if not self._get(IRQ_FLAGS) & TX_DONE:
            return False
        self._set(IRQ_FLAGS, ALL_FLAGS)
        return True

    def receive(self, timeout_ms: int) -> Packet | None:
        """Listen for up to `timeout_ms`; return the next whole packet, None when none came."""
        deadline_ms = self._clock.now_ms() + timeout_ms
        while True:
            packet = self.poll()
            left_ms = deadline_ms - self._clock.now_ms()
            if packet is not None or left_ms <= 0:
                return packet
            self._clock.sleep_ms(min(left_ms, POLL_MS))

    def poll(self) -> Packet | None:
        """Continue to listen; return the packet received since the last call, or None."""
        if not self._is_listening:
            self._mode(STANDBY)
            self._set(IRQ_FLAGS, ALL_FLAGS)
            self._set(FIFO_ADDRESS, 0)
            self._mode(RX_CONTINUOUS)
            self._is_listening = True
        flags = self._get(IRQ_FLAGS)
        if not flags & RX_DONE:
            return None
        self._set(IRQ_FLAGS, ALL_FLAGS)
        if flags & CRC_ERROR:
            self.damaged += 1
            return None
        size = self._get(RX_BYTES)
        self._set(FIFO_ADDRESS, self._get(FIFO_RX_CURRENT))
        data = self._read(FIFO, size)
        snr_quarter_db = self._get(PACKET_SNR)
        if snr_quarter_db > 127:
            snr_quarter_db -= 256
        rssi_dbm = self._floor_dbm() + self._get(PACKET_RSSI)
        if snr_quarter_db < 0:
            rssi_dbm += snr_quarter_db // 4
        return Packet(data, rssi_dbm, snr_quarter_db // 4)

    def is_free(self) -> bool:
        """Whether the channel is free: no power in it for CARRIER_MS, and no LoRa preamble below the noise."""
        self._mode(RX_CONTINUOUS)
        until_ms = self._clock.now_ms() + CARRIER_MS
        while True:
            self._clock.sleep_ms(1)
            if self._floor_dbm() + self._get(RSSI) >= CARRIER_DBM:
                self._mode(STANDBY)
                return False
            if self._clock.now_ms() >= until_ms:
                break
        self._mode(STANDBY)
        self._set(IRQ_FLAGS, ALL_FLAGS)
        self._mode(CAD)
        for _ in range(30):  # CAD takes two symbols, 65 ms at SF12; then the chip goes to standby
            flags = self._get(IRQ_FLAGS)
            if flags & CAD_DONE:
                self._set(IRQ_FLAGS, ALL_FLAGS)
                return not flags & CAD_DETECTED
            self._clock.sleep_ms(POLL_MS)
        self._mode(STANDBY)
        return True  # CAD did not end; the power in the channel is low

    def sleep(self) -> None:
        """Switch to sleep mode, which draws a microampere; the settings stay."""
        self._mode(SLEEP)

    def _configure(self) -> None:
        air = self._air
        self._mode(SLEEP)
        self._mode(SLEEP)  # twice: the LoRa mode can only be set in sleep mode
        steps = air.frequency_hz * (1 << 19) // CRYSTAL_HZ
        self._put(FRF, bytes((steps >> 16, steps >> 8 & 255, steps & 255)))
        self._set(PA_CONFIG, PA_BOOST | air.power_dbm - 2)
        self._set(LNA, LNA_BOOST)
        self._set(FIFO_TX_BASE, 0)  # never both at once, so each may use all 256 bytes
        self._set(FIFO_RX_BASE, 0)
        self._set(MODEM_CONFIG_1, BANDWIDTHS[air.bandwidth_hz] << 4 | air.coding - 4 << 1)
        self._set(MODEM_CONFIG_2, air.spreading << 4 | 0x04)  # with a CRC
        self._set(MODEM_CONFIG_3, AGC | (LOW_DATA_RATE if _is_slow(air) else 0))
        self._put(PREAMBLE, bytes((air.preamble >> 8, air.preamble & 255)))
        self._set(DETECT_OPTIMIZE, 0x03)  # SF7 to SF12; bit 7 clear: erratum 2.3
        self._set(IF_FREQ_2, 0x40)
        self._set(IF_FREQ_1, 0x00)
        self._set(DETECTION_THRESHOLD, 0x0A)
        self._set(SYNC_WORD, air.sync_word)
        self._mode(STANDBY)

    def _mode(self, mode: int) -> None:
        self._is_listening = False
        self._set(OP_MODE, LORA | (LOW_FREQUENCY if self._is_low_band else 0) | mode)

    def _floor_dbm(self) -> int:
        return RSSI_LOW_DBM if self._is_low_band else RSSI_HIGH_DBM

    def _set(self, register: int, value: int) -> None:
        self._put(register, bytes((value,)))

    def _put(self, register: int, values: bytes) -> None:
        self._select(0)
        self._spi.write(bytes((register | WRITE,)) + values)
        self._select(1)

    def _get(self, register: int) -> int:
        return self._read(register, 1)[0]

    def _read(self, register: int, size: int) -> bytes:
        self._select(0)
        self._spi.write(bytes((register,)))
        values = self._spi.read(size)
        self._select(1)
        return values
