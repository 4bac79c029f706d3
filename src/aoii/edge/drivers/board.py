"""Wires the board: an ESP32 under MicroPython with the parts in its configuration.

`main.py` only calls `run`. All pins, numbers and keys come from one JSON file, which `aoii node flash` writes.
"""

# MicroPython's modules have functions that CPython's lack.
# mypy: disable-error-code="attr-defined"

import gc
import json
import os
import sys
import time

import machine

from ...core.frames import UPLINK_BYTES, NodeSettings
from ...core.link_timing import TIMING, Timing
from ..node import Node
from ..sample_log import SampleLog
from .board_flash import DoubleBuffer, Files, FlashStore, SleepStore
from .board_node import DEEP_MS, NAP_MS, BoardNode, Parts
from .board_radio import Air, Radio, airtime_ms
from .board_sensor import POWER_ON_MS, Aht20, Battery

MYPY = False
if MYPY:
    from typing import Any

    from ..sample_log import Model
    from .board_display import Display

    Config = dict[str, Any]

CONFIG = "aoii.json"
WATCHDOG_MS = 60_000  # six naps; the replay of a full sample log feeds it after each sample
RESTART_MS = 30_000  # pause after a fault that needs a person, such as a radio that does not answer
GRACE_MS = 3000  # after power-on: Ctrl-C works, and there is no watchdog yet
POLL_MS = 2  # short beside a packet: 22 bytes take 36 ms at SF7
CHUNK_BYTES = 256


class BoardClock:
    """The ESP32's system time, which goes on in deep sleep and is never set."""

    def now_ms(self) -> int:
        """Milliseconds since power-on, plus a constant."""
        return time.time_ns() // 1_000_000

    def sleep_ms(self, duration_ms: int) -> None:
        """Wait."""
        time.sleep_ms(duration_ms)


class UsbPort:
    """The board's USB port as raw bytes; it waits GRACE_MS first, and then Ctrl-C interrupts no more."""

    def __init__(self) -> None:
        import select

        import micropython

        time.sleep_ms(GRACE_MS)
        micropython.kbd_intr(-1)
        self._poll = select.poll()
        self._poll.register(sys.stdin, select.POLLIN)

    def read(self) -> bytes:
        """The bytes received so far, at most CHUNK_BYTES."""
        found = bytearray()
        while len(found) < CHUNK_BYTES and self._poll.poll(0):
            found.extend(sys.stdin.buffer.read(1))
        return bytes(found)

    def write(self, data: bytes) -> None:
        """Send."""
        sys.stdout.buffer.write(data)


def run() -> None:
    """Run as a node or a receiver, for ever; after a fault, print it and restart half a minute later."""
    with open(CONFIG) as file:  # noqa: PTH123 - MicroPython has no pathlib
        config = json.load(file)
    try:
        if config["role"] == "node":
            run_node(config)
        else:
            run_receiver(config)
    except Exception as error:  # of any kind: a board on a roof must restart
        sys.print_exception(error)
        machine.deepsleep(RESTART_MS)


def run_node(config: "Config") -> None:
    """Run as a node, for ever."""
    if machine.reset_cause() != machine.DEEPSLEEP_RESET:
        time.sleep_ms(GRACE_MS)
    watchdog = machine.WDT(timeout=WATCHDOG_MS)
    node = build_node(config, watchdog.feed)
    while True:
        idle_ms = node.step()
        if config["deep_sleep"] and idle_ms >= DEEP_MS:
            node.prepare_sleep()
            machine.deepsleep(idle_ms)
        watchdog.feed()
        time.sleep_ms(min(idle_ms, NAP_MS))


def run_receiver(config: "Config") -> None:
    """Run as a receiver, for ever."""
    receiver = build_receiver(config, UsbPort())
    watchdog = machine.WDT(timeout=WATCHDOG_MS)
    while True:
        watchdog.feed()
        if not receiver.step():
            time.sleep_ms(POLL_MS)


def build_node(config: "Config", feed_watchdog: "Any") -> BoardNode:
    """A node with its parts; after a deep sleep, with its state from before.

    Raises:
        InputError: The radio driver does not support the radio settings.
        UnavailableError: The radio does not answer, or both records of the node's numbers are damaged.
        OSError: The flash cannot be read.
    """
    pins = config["pins"]
    clock = BoardClock()
    if "power" in pins:
        machine.Pin(pins["power"], machine.Pin.OUT)(0)  # Vext of some boards, on when low; off in deep sleep
        clock.sleep_ms(POWER_ON_MS)
    air = Air(*config["air"])
    radio = _radio(config, clock, air)
    i2c = machine.I2C(0, scl=machine.Pin(pins["scl"]), sda=machine.Pin(pins["sda"]), freq=100_000)
    battery = None
    if "battery" in pins:
        battery = Battery(
            machine.ADC(machine.Pin(pins["battery"]), atten=machine.ADC.ATTN_11DB), config["ratio_permille"]
        )
    disk = Files()
    settings = NodeSettings(*config["settings"])
    sample_log = SampleLog(settings.beta_t_c, settings.beta_h_c, _learner, DoubleBuffer(disk, "learner"), feed_watchdog)
    sleep_store = SleepStore(machine.RTC(), DoubleBuffer(disk, "pillow"))  # the name that boards in use have
    if machine.reset_cause() != machine.DEEPSLEEP_RESET:
        sleep_store.pop()  # discarded: the counters in it are older than those in use
    node = Node(
        config["node"],
        config["epoch"],
        bytes.fromhex(config["key"]),
        settings,
        sample_log,
        FlashStore(disk),
        _random,
        timing(air, config["duty_permille"], config["listens"]),
        is_busy=lambda: not radio.is_free(),
    )
    sensor, display = Aht20(i2c, clock), _display(config, i2c)
    parts = Parts(clock, radio, sensor, battery, display, sleep_store, feed_watchdog, _heap, print)
    return BoardNode(config["node"], node, sample_log, parts)


def build_receiver(config: "Config", port: "Any") -> "Any":
    """A receiver with its parts.

    Raises:
        InputError: The radio driver does not support the radio settings.
        UnavailableError: The radio does not answer.
    """
    from . import board_receiver

    clock = BoardClock()
    air = Air(*config["air"])
    radio = _radio(config, clock, air)
    return board_receiver.BoardReceiver(
        radio, port, clock, lambda size: airtime_ms(air, size), config["duty_permille"], config["listens"]
    )


def timing(air: Air, duty_permille: int, listens: bool) -> Timing:
    """The link's timing for these radio settings: window and noise grow with the airtime of packet and answer."""
    airtime = airtime_ms(air, UPLINK_BYTES)
    longer_ms = max(0, 2 * (airtime - TIMING.airtime_ms))
    window_ms, noise_ms = TIMING.ack_window_ms + longer_ms, TIMING.noise_ms + longer_ms
    pauses = TIMING[1:4]
    return Timing(window_ms, *pauses, airtime, duty_permille, listens, noise_ms)


def _radio(config: "Config", clock: BoardClock, air: Air) -> Radio:
    pins = config["pins"]
    spi = machine.SPI(
        1,
        baudrate=5_000_000,
        sck=machine.Pin(pins["sck"]),
        mosi=machine.Pin(pins["mosi"]),
        miso=machine.Pin(pins["miso"]),
    )
    select = machine.Pin(pins["select"], machine.Pin.OUT, value=1)
    reset = machine.Pin(pins["reset"], machine.Pin.OUT, value=1) if "reset" in pins else None
    return Radio(spi, select, reset, clock, air)


def _display(config: "Config", i2c: "Any") -> "Display | None":
    if not config["display"]:
        return None
    import framebuf

    from .board_display import Display

    pins = config["pins"]
    reset = machine.Pin(pins["oled_reset"], machine.Pin.OUT, value=1) if "oled_reset" in pins else None
    return Display(i2c, framebuf, reset)


def _heap() -> tuple[int, int]:
    free = gc.mem_free()
    return free, free + gc.mem_alloc()


def _learner(epsilon_t_c: int, epsilon_h_c: int) -> "Model":
    from ...core.learner import Learner  # most wakes do not need it, and it takes 25 kB

    return Learner(epsilon_t_c, epsilon_h_c)


def _random() -> float:
    """A uniform number in [0, 1) from the ESP32's hardware generator."""
    return int.from_bytes(os.urandom(2), "little") / 65536
