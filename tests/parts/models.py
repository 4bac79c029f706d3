"""The board's parts without a board: an SX127x and an AHT20 down to their registers, flash, RTC memory, and time.

Written from the data sheets, not from the drivers. The same source runs on CPython and on MicroPython.
"""

import math

MYPY = False
if MYPY:
    from collections.abc import Callable


class PowerCut(Exception):  # noqa: N818 - not an error of ours
    """The power went in the middle of a write."""


class Clock:
    """Time that passes only in `sleep_ms`; scheduled events happen meanwhile.

    Attributes:
        is_frozen: `sleep_ms` takes no time, for a board that started that much earlier.
    """

    def __init__(self, now_ms: int = 0) -> None:
        self._now_ms = now_ms
        self._scheduled: list[tuple[int, int, Callable[[], object]]] = []
        self._order = 0
        self.is_frozen = False

    def now_ms(self) -> int:
        return self._now_ms

    def sleep_ms(self, duration_ms: int) -> None:
        if self.is_frozen:
            return
        until_ms = self._now_ms + duration_ms
        while self._scheduled and self._scheduled[0][0] <= until_ms:
            at_ms, _, act = self._scheduled.pop(0)
            self._now_ms = max(self._now_ms, at_ms)
            act()
        self._now_ms = until_ms

    def schedule(self, at_ms: int, act: "Callable[[], object]") -> None:
        self._order += 1
        self._scheduled.append((at_ms, self._order, act))
        self._scheduled.sort(key=lambda event: event[:2])


class Pin:
    """An output pin that a test can read."""

    def __init__(self, changed: "Callable[[int], None] | None" = None) -> None:
        self.value = 1
        self._changed = changed

    def __call__(self, value: int | None = None) -> int:
        if value is not None:
            self.value = value
            if self._changed is not None:
                self._changed(value)
        return self.value


LORA = 0x80
SLEEP, STANDBY, TX, RX_CONTINUOUS, CAD = 0, 1, 3, 5, 7
TX_DONE, RX_DONE, CRC_ERROR, CAD_DONE, CAD_DETECTED = 0x08, 0x40, 0x20, 0x04, 0x01
BANDWIDTHS_HZ = (7_800, 10_400, 15_600, 20_800, 31_250, 41_700, 62_500, 125_000, 250_000, 500_000)


class Sx127x:
    """The chip: registers, FIFO, modes and flags, as the data sheet describes them.

    Args:
        clock: Time.
        on_sent: Called with the bytes of a packet when it has left the antenna.

    Attributes:
        spi, select, reset: What a driver is wired to.
        level_dbm: Power in the channel. has_preamble: Whether a LoRa preamble is in it.
        faults: What no driver may do, in words.
        is_deaf: A transmission never ends.
    """

    def __init__(self, clock: Clock, on_sent: "Callable[[bytes], None]") -> None:
        self._clock = clock
        self._on_sent = on_sent
        self.select = Pin(self._selected)
        self.reset = Pin(self._reset)
        self.spi = self
        self.version = 0x12
        self.level_dbm = -120
        self.has_preamble = False
        self.is_deaf = False
        self.resets = 0
        self.faults: list[str] = []
        self._address: int | None = None
        self._is_write = False
        self._transmission = 0
        self._rx_at = 0
        self._power_on()

    # The bus

    def write(self, data: bytes) -> None:
        for byte in data:
            if self.select.value:
                self.faults.append("talked to without chip select")
            elif self._address is None:
                self._address, self._is_write = byte & 0x7F, byte >= 0x80
            elif self._is_write:
                self._set(self._address, byte)
                self._address += self._address != 0  # the FIFO has one address
            else:
                self.faults.append("written to while it is read")

    def read(self, size: int) -> bytes:
        found = bytearray()
        for _ in range(size):
            if self.select.value or self._address is None or self._is_write:
                self.faults.append("read without an address")
                return bytes(size)
            found.append(self._get(self._address))
            self._address += self._address != 0
        return bytes(found)

    # The air

    @property
    def mode(self) -> int:
        return self.registers[0x01] & 7

    @property
    def is_lora(self) -> bool:
        return self.registers[0x01] >= LORA

    def air(self) -> tuple[int, ...]:
        """What two chips must have in common: frequency, bandwidth, spreading factor, sync word."""
        r = self.registers
        return (r[0x06] << 16 | r[0x07] << 8 | r[0x08], r[0x1D] >> 4, r[0x1E] >> 4, r[0x39])

    def arrive(self, data: bytes, rssi_dbm: int, snr_db: int, is_whole: bool = True) -> bool:
        """A packet has come to its end at the antenna; whether the chip was listening."""
        if not self.is_lora or self.mode != RX_CONTINUOUS:
            return False
        r = self.registers
        start = self._rx_at
        for i in range(len(data)):
            self.fifo[(start + i) & 255] = data[i]
        self._rx_at = (start + len(data)) & 255
        r[0x10], r[0x13] = start, len(data)
        r[0x19] = (4 * snr_db) & 255
        offset = -164 if r[0x06] << 16 < 525_000_000 * 2**19 // 32_000_000 else -157
        r[0x1A] = max(0, min(255, rssi_dbm - offset - min(0, snr_db)))
        r[0x12] |= RX_DONE | (0 if is_whole else CRC_ERROR)
        return True

    def airtime_ms(self, size: int) -> int:
        """By the formula of the data sheet, section 4.1.1.7."""
        r = self.registers
        factor, rate = r[0x1E] >> 4, r[0x1D] >> 1 & 7
        symbol_s = (1 << factor) / BANDWIDTHS_HZ[r[0x1D] >> 4]
        slow = r[0x26] >> 3 & 1
        bits = 8 * size - 4 * factor + 28 + 16 * (r[0x1E] >> 2 & 1) - 20 * (r[0x1D] & 1)
        symbols = 8 + max(math.ceil(bits / (4 * (factor - 2 * slow))) * (rate + 4), 0)
        return math.ceil(1000 * symbol_s * ((r[0x20] << 8 | r[0x21]) + 4.25 + symbols))

    # Inside

    def _power_on(self) -> None:
        self.registers = bytearray(128)
        self.fifo = bytearray(256)
        self.registers[0x01] = 0x09  # FSK, low band, standby
        self.registers[0x0E] = 0x80
        self._rx_at = 0

    def _reset(self, level: int) -> None:
        if level == 0:
            self.resets += 1
            self._power_on()

    def _selected(self, level: int) -> None:
        self._address = None

    def _set(self, register: int, value: int) -> None:
        r = self.registers
        if register == 0x00:
            if self.mode == SLEEP:
                self.faults.append("FIFO written while asleep")
            self.fifo[r[0x0D]] = value
            r[0x0D] = (r[0x0D] + 1) & 255
        elif register == 0x01:
            self._change_mode(value)
        elif register == 0x12:
            r[0x12] &= ~value & 255  # a one clears
        elif 0x0D <= register <= 0x3F and not self.is_lora:
            self.faults.append(f"LoRa register {register:x} written in FSK mode")
        elif register in {0x10, 0x13, 0x19, 0x1A, 0x1B, 0x42}:
            self.faults.append(f"register {register:x} can only be read")
        elif 0x1D <= register <= 0x26 and self.mode not in {SLEEP, STANDBY} and register != 0x22:
            self.faults.append(f"modem register {register:x} written while it works")
        else:
            r[register] = value

    def _get(self, register: int) -> int:
        r = self.registers
        if register == 0x00:
            value = self.fifo[r[0x0D]]
            r[0x0D] = (r[0x0D] + 1) & 255
            return value
        if register == 0x1B:
            offset = -164 if r[0x01] & 8 else -157
            return max(0, min(255, self.level_dbm - offset)) if self.mode == RX_CONTINUOUS else 0
        return self.version if register == 0x42 else r[register]

    def _change_mode(self, value: int) -> None:
        was = self.registers[0x01]
        if (was ^ value) & LORA and was & 7 != SLEEP:
            value ^= LORA  # only asleep may it turn
        self.registers[0x01] = value
        self._transmission += 1
        mode = value & 7
        if value < LORA:
            return
        if mode == TX:
            start, size = self.registers[0x0E], self.registers[0x22]
            data = bytes([self.fifo[(start + i) & 255] for i in range(size)])
            mark = self._transmission
            if not self.is_deaf:
                self._clock.schedule(self._clock.now_ms() + self.airtime_ms(size), lambda: self._sent(mark, data))
        elif mode == RX_CONTINUOUS:
            self._rx_at = self.registers[0x0F]
        elif mode == CAD:
            mark = self._transmission
            self._clock.schedule(self._clock.now_ms() + 9, lambda: self._searched(mark))

    def _sent(self, mark: int, data: bytes) -> None:
        if mark == self._transmission:
            self.registers[0x12] |= TX_DONE
            self.registers[0x01] = self.registers[0x01] & 0xF8 | STANDBY
            self._on_sent(data)

    def _searched(self, mark: int) -> None:
        if mark == self._transmission:
            self.registers[0x12] |= CAD_DONE | (CAD_DETECTED if self.has_preamble else 0)
            self.registers[0x01] = self.registers[0x01] & 0xF8 | STANDBY


class Aht20:
    """The sensor on an I2C bus of its own.

    Args:
        clock: Time.

    Attributes:
        temperature, humidity: What it measures, °C and %RH.
        is_there, is_calibrated, is_busy_for_ever: What can be wrong with it.
        garble: So many answers come with a wrong bit.
        lose: So many commands get no answer.
        raw: What it answers whatever it measures, None: the truth.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.temperature, self.humidity = 20.0, 50.0
        self.is_there = self.is_calibrated = True
        self.is_busy_for_ever = False
        self.garble = self.lose = 0
        self.measured = 0
        self.raw: bytes | None = None
        self._ready_ms: int | None = None
        self._content = bytes(5)

    def writeto(self, address: int, data: bytes) -> int:
        self._answer(address)
        if data == b"\xac\x33\x00":
            self.measured += 1
            self._ready_ms = self._clock.now_ms() + 75
            self._content = self._measure()
        elif data in {b"\xbe\x08\x00", b"\xba"}:
            self.is_calibrated = True
            self._ready_ms = None
        else:
            raise OSError(5)
        return len(data)

    def readfrom(self, address: int, size: int) -> bytes:
        self._answer(address)
        is_busy = self._ready_ms is not None and (self.is_busy_for_ever or self._clock.now_ms() < self._ready_ms)
        content = bytes((0x10 | (0x80 if is_busy else 0) | (0x08 if self.is_calibrated else 0),)) + self._content
        content += bytes((check_sum(content),))
        if self.garble and size == 7:
            self.garble -= 1
            content = content[:2] + bytes((content[2] ^ 4,)) + content[3:]
        return content[:size]

    def _answer(self, address: int) -> None:
        if self.lose:
            self.lose -= 1
            raise OSError(19)
        if not self.is_there or address != 0x38:
            raise OSError(19)

    def _measure(self) -> bytes:
        if self.raw is not None:
            return self.raw
        humidity = min(0xFFFFF, round(self.humidity / 100 * 2**20))
        temperature = min(0xFFFFF, round((self.temperature + 50) / 200 * 2**20))
        both = humidity << 20 | temperature
        return bytes([both >> shift & 255 for shift in (32, 24, 16, 8, 0)])


def check_sum(data: bytes) -> int:
    """CRC-8 by long division of x^8 + x^5 + x^4 + 1, begun with ones; not the way a driver does it."""
    bits = []
    for byte in data:
        bits += [byte >> shift & 1 for shift in range(7, -1, -1)]
    for i in range(8):
        bits[i] ^= 1
    bits += [0] * 8
    for i in range(len(bits) - 8):
        if bits[i]:
            for offset in (0, 3, 4, 8):
                bits[i + offset] ^= 1
    value = 0
    for bit in bits[-8:]:
        value = value << 1 | bit
    return value


class Adc:
    """An input with noise of a few millivolts, the same every time."""

    def __init__(self, microvolts: int) -> None:
        self._microvolts = microvolts
        self._reads = 0

    def read_uv(self) -> int:
        self._reads += 1
        return self._microvolts + (4000 if self._reads % 2 else -4000)


class Disk:
    """Files in flash; a write may be cut after any share of it.

    Attributes:
        writes: Number of writes so far.
        cut_at: Number of the write that is cut.
        cut_share: Share of it that is written, quarters.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytearray] = {}
        self.writes = 0
        self.written: dict[str, int] = {}
        self.cut_at = -1
        self.cut_share = 0

    def read(self, name: str, at: int, size: int) -> bytes:
        return bytes(self.files.get(name, b"")[at : at + size])

    def write(self, name: str, at: int, content: bytes) -> None:
        is_cut = self.writes == self.cut_at
        self.writes += 1
        self.written[name] = self.written.get(name, 0) + 1
        if is_cut:
            content = content[: len(content) * self.cut_share // 4]
        file = self.files.get(name, bytearray())
        file = file + bytes(max(0, at - len(file)))
        self.files[name] = file[:at] + content + file[at + len(content) :]
        if is_cut:
            raise PowerCut


class Rtc:
    """RTC memory."""

    def __init__(self) -> None:
        self.content = b""

    def memory(self, content: bytes | None = None) -> bytes:
        if content is not None:
            assert len(content) <= 2048
            self.content = bytes(content)
        return self.content
