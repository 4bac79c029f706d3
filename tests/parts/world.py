"""A node on the models of its parts, a gateway at the other end of a lossy radio, and sleeps as deep as one likes.

The same source runs on CPython and on MicroPython.
"""

import hashlib

from aoii.core import frames
from aoii.core.forecast import NodeSettings, Trend
from aoii.core.frames import Rejected
from aoii.core.link_timing import TIMING
from aoii.edge.drivers.board_flash import DoubleBuffer, FlashStore, SleepStore
from aoii.edge.drivers.board_node import BoardNode, Parts
from aoii.edge.drivers.board_radio import DEFAULT_AIR, Radio
from aoii.edge.drivers.board_sensor import Aht20, Battery
from aoii.edge.node import Node
from aoii.edge.sample_log import SampleLog
from gateway_twin import GatewayTwin
from parts import models
from vectors.replay import Chance

MYPY = False
if MYPY:
    from collections.abc import Callable
    from typing import Protocol

    from aoii.core.interfaces import Predictor
    from aoii.edge.sample_log import Model

    class Learning(Model, Predictor, Protocol):
        """A learner: with thresholds that may change, and with a dump."""


KEY = bytes(range(16))
SETTINGS = NodeSettings(50, 300, 60, 1800, 600, 1)
WANTED = NodeSettings(40, 250, 60, 1800, 600, 1)  # by the gateway
REPLY_MS = 60  # from a packet's end to the beginning of its answer
RSSI_DBM, SNR_DB = -97, -3


class Counting:
    """A model that is cheap, and differs in every sample that it missed, took twice or took out of order."""

    def __init__(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        self._epsilon = (epsilon_t_c, epsilon_h_c)
        self._sum = 1

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        day = -1 if day_ms is None else day_ms
        steps = 17 if self._sum == 1 else steps  # the first sample stands alone
        self._sum = (self._sum * 31 + temperature_c * 7 + humidity_c * 3 + min(steps, 17) + day) & 0xFFFFFF

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        level, slope = self._sum % 15 - 7, self._sum // 16 % 41 - 20
        return Trend(level, slope, -level, -slope, 1)

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        self._epsilon, self._sum = (epsilon_t_c, epsilon_h_c), 1

    def dump(self) -> bytes:
        return f"{self._epsilon} {self._sum}".encode()

    def load(self, state: bytes) -> bool:
        epsilon, _, value = state.decode().rpartition(" ")
        if epsilon != str(self._epsilon):
            return False
        self._sum = int(value)
        return True


class World:
    """Everything around one node.

    Args:
        readings: Temperatures and humidities, hundredths, one a minute; again from the beginning after the end.
        loss: Packets of 256 that are lost, either way.
        is_deep: Whether the board sleeps deeply in every pause; otherwise it never sleeps, and has no sample log.
        make: The model that learns.
        capacity: Samples in the sample log.
        rtc_bytes: RTC memory.

    Attributes:
        sent: Event counter, kind and reading of everything that left the node's antenna.
    """

    def __init__(
        self,
        readings: "list[tuple[int, int]]",
        loss: int,
        is_deep: bool,
        make: "Callable[[int, int], Learning]",
        capacity: int = 64,
        rtc_bytes: int = 2048,
    ) -> None:
        self._readings = readings
        self.loss = loss
        self._is_deep = is_deep
        self._make = make
        self._capacity = capacity
        self._rtc_bytes = rtc_bytes
        self._chance = Chance(5)
        self._random = self._chance.random
        self._digest = hashlib.sha256()
        self.gateway = GatewayTwin(KEY, WANTED)
        self.clock = models.Clock(1_000_000)
        self.disk = models.Disk()
        self.rtc = models.Rtc()
        self.chip = models.Sx127x(self.clock, self._answer_packet)
        self.aht20 = models.Aht20(self.clock)
        self.gateway_is_there = True
        self.sent: list[tuple[int, int, int, int]] = []
        self.said: list[str] = []
        self.fault = ""
        self.starts = self.wakes = self.spilled = self.most_laid = 0
        self.start()

    def start(self) -> None:
        """Power on, or the end of a sleep."""
        self.clock.is_frozen = True  # it woke as much earlier as it takes to start
        try:
            self.board = self._built()
        finally:
            self.clock.is_frozen = False
        self.starts += 1
        self.wakes += self.board.has_slept

    def cut_power(self) -> None:
        """For some seconds."""
        self.rtc.content = b""
        self.clock.sleep_ms(7000)
        self.start()

    def go_on(self, minutes: int) -> None:
        """Live for so long."""
        until_ms = self.clock.now_ms() + 60_000 * minutes
        while self.clock.now_ms() < until_ms:
            self.step()

    def step(self) -> None:
        """One turn of the board, and the pause after it."""
        at = self.clock.now_ms() // 60_000
        self.aht20.temperature, self.aht20.humidity = [c / 100 for c in self._readings[at % len(self._readings)]]
        idle_ms = self.board.step()
        self.fault = self.node.fault
        if self._is_deep and idle_ms:  # otherwise it may be listening
            self.board.prepare_sleep()
            self.most_laid = max(self.most_laid, len(self.rtc.content))
            self.clock.sleep_ms(idle_ms)
            self.start()
        else:
            self.clock.sleep_ms(idle_ms)

    def digest(self) -> str:
        """Of all that was said and when, and of what is known now."""
        digest = self._digest.digest().hex()
        return digest + self.node.dump().hex()

    def learned(self) -> bytes:
        """What the model knows."""
        model = self.sample_log.wake_model() if self.sample_log is not None else self.model
        return model.dump()

    def _built(self) -> BoardNode:
        self.model = self._make(SETTINGS.beta_t_c, SETTINGS.beta_h_c)
        self.sample_log = None
        if self._is_deep:
            buffer = DoubleBuffer(self.disk, "learner")
            self.sample_log = SampleLog(
                SETTINGS.beta_t_c, SETTINGS.beta_h_c, self._make, buffer, self._feed_watchdog, self._capacity
            )
        predictor: Predictor = self.model if self.sample_log is None else self.sample_log
        store = FlashStore(self.disk)
        self.node = Node(7, 1, KEY, SETTINGS, predictor, store, self._random, TIMING)
        radio = Radio(self.chip.spi, self.chip.select, self.chip.reset, self.clock, DEFAULT_AIR)
        sensor = Aht20(self.aht20, self.clock)
        battery = Battery(models.Adc(1_900_000), 2000)
        self.sleep_store = SleepStore(self.rtc, DoubleBuffer(self.disk, "sleep_store"), self._rtc_bytes)
        parts = Parts(
            self.clock, radio, sensor, battery, None, self.sleep_store, self._feed_watchdog, _no_heap, self.said.append
        )
        return BoardNode(7, self.node, self.sample_log, parts)

    def _feed_watchdog(self) -> None:
        pass

    def _answer_packet(self, data: bytes) -> None:
        """A packet has left the antenna."""
        now_ms = self.clock.now_ms()
        self._digest.update(f"{now_ms}".encode() + data)
        uplink = frames.decode_uplink(data, lambda node: KEY)
        assert not isinstance(uplink, Rejected)
        self.sent.append((uplink.counter, uplink.flags, uplink.temperature_c, uplink.humidity_c))
        is_lost = self._chance.byte() < self.loss
        answer_is_lost = self._chance.byte() < self.loss
        if is_lost or not self.gateway_is_there:
            return
        answer = self.gateway.accept(data, now_ms)
        if answer is not None and not answer_is_lost:
            at_ms = now_ms + REPLY_MS + self.chip.airtime_ms(len(answer))
            self.clock.schedule(at_ms, lambda: self._arrive(answer))

    def _arrive(self, data: bytes) -> None:
        self.chip.arrive(data, RSSI_DBM, SNR_DB)


def _no_heap() -> tuple[int, int]:
    return 0, 0


def walk(minutes: int, seed: int = 9) -> "list[tuple[int, int]]":
    """Readings that wander, by chance of eight bits."""
    chance = Chance(seed)
    temperature_c, humidity_c = 2000, 5000
    found = []
    for _ in range(minutes):
        temperature_c += chance.byte() % 41 - 20
        humidity_c = max(500, min(9500, humidity_c + chance.byte() % 201 - 100))
        found.append((temperature_c, humidity_c))
    return found
