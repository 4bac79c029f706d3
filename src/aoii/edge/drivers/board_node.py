"""A node on its board: wakes up, samples, sends, listens, sleeps.

A deep sleep erases the board's memory, so the node's state is saved before it and restored after it: a node that sleeps
after each sample does the same, to the bit, as one that never sleeps. What is sent is decided by `edge.node`; when the
learner wakes, by `edge.sample_log`.
"""

import struct
from collections import namedtuple

from ...core.link import WAITING, Send
from ..node import Node
from ..sample_log import SampleLog

MYPY = False
if MYPY:
    from collections.abc import Callable

    from .board_display import Display
    from .board_flash import SleepStore
    from .board_interfaces import Clock
    from .board_radio import Radio
    from .board_sensor import Aht20, Battery

DEEP_MS = 3000  # in a shorter pause the board stays awake: a start takes about a second
NAP_MS = 10_000  # interval at which the watchdog is fed while the board waits

_HEAD = "<qH"  # time of the next sample, size of the node's dump


class Parts(namedtuple("Parts", "clock radio sensor battery display sleep_store feed_watchdog heap print_line")):
    """The parts of a node's board.

    Attributes:
        clock: Time, which goes on while the board sleeps.
        radio: The radio.
        sensor: The sensor.
        battery: The battery; None when there is none.
        display: The display; None when there is none.
        sleep_store: Keeps the node's state during a deep sleep.
        feed_watchdog: Feeds the watchdog.
        heap: Returns free and total bytes of the heap.
        print_line: Prints a line on the USB port.
    """

    __slots__ = ()
    clock: "Clock"
    radio: "Radio"
    sensor: "Aht20"
    battery: "Battery | None"
    display: "Display | None"
    sleep_store: "SleepStore"
    feed_watchdog: "Callable[[], None]"
    heap: "Callable[[], tuple[int, int]]"
    print_line: "Callable[[str], None]"


class BoardNode:
    """A node with its parts, from a start of the board to its next sleep.

    Args:
        number: Number of the node, for its log line.
        node: A new node; its state is restored when the board wakes from a sleep.
        sample_log: Its predictor; None when the board never sleeps deeply.
        parts: The drivers.

    Attributes:
        has_slept: Whether this start ended a deep sleep.
    """

    def __init__(self, number: int, node: Node, sample_log: SampleLog | None, parts: Parts) -> None:
        self._number = number
        self._node = node
        self._sample_log = sample_log
        self._parts = parts
        self._next_ms = parts.clock.now_ms()  # the first sample is taken at once
        self.has_slept = self._restore()

    def step(self) -> int:
        """Do what is due; return the time until something is due again, milliseconds."""
        clock, node = self._parts.clock, self._node
        self._parts.feed_watchdog()
        if clock.now_ms() >= self._next_ms:
            self._sample()
        else:
            self._send(node.due(clock.now_ms()))
        while node.link.state == WAITING and clock.now_ms() < self._next_ms:
            self._listen()
        deadline_ms = node.deadline_ms()
        until_ms = self._next_ms if deadline_ms is None else min(self._next_ms, deadline_ms)
        return max(0, until_ms - clock.now_ms())

    def prepare_sleep(self) -> None:
        """Save the state for a deep sleep, after which a new `BoardNode` continues."""
        self._parts.radio.sleep()
        display = self._parts.display
        if display is not None:
            display.off()
        node = self._node.dump()
        samples = b"" if self._sample_log is None else self._sample_log.dump()
        self._parts.sleep_store.save(struct.pack(_HEAD, self._next_ms, len(node)) + node + samples)

    def _restore(self) -> bool:
        """Continue from the sleep store; return whether it had the state of this node."""
        stored = self._parts.sleep_store.pop()
        at = struct.calcsize(_HEAD)
        if len(stored) < at:
            return False
        next_ms, size = struct.unpack(_HEAD, stored[:at])
        if not self._node.load(stored[at : at + size]):
            return False
        if self._sample_log is not None:
            self._sample_log.load(stored[at + size :])
        self._next_ms = next_ms
        return True

    def _sample(self) -> None:
        parts, node = self._parts, self._node
        now_ms = parts.clock.now_ms()
        if parts.battery is not None:
            node.battery_mv = parts.battery.millivolts()
        temperature, humidity = parts.sensor.read()
        begun_ms = parts.clock.now_ms()
        sends = node.sample(now_ms, temperature, humidity)
        took_ms = parts.clock.now_ms() - begun_ms
        period_ms = 1000 * node.settings.period_s
        self._next_ms += period_ms
        if self._next_ms <= now_ms:  # a busy board skips samples; it does not take them late
            self._next_ms = now_ms + period_ms
        self._report(now_ms, took_ms)  # before it sends: afterwards the radio must listen at once
        self._send(sends)

    def _send(self, sends: list[Send]) -> None:
        for send in sends:
            self._parts.feed_watchdog()
            self._parts.radio.send(send.data)

    def _listen(self) -> None:
        """Listen until a packet comes or the receive window ends."""
        clock, node = self._parts.clock, self._node
        deadline_ms = node.deadline_ms()
        until_ms = self._next_ms if deadline_ms is None else min(self._next_ms, deadline_ms)
        packet = self._parts.radio.receive(max(0, until_ms - clock.now_ms()))
        now_ms = clock.now_ms()
        self._send(node.due(now_ms) if packet is None else node.receive(packet.data, now_ms))

    def _report(self, now_ms: int, took_ms: int) -> None:
        """Print the log line of the older firmware, with node and time at its end; without a reading, the fault."""
        node, display = self._node, self._parts.display
        sampled = node.sampled
        if sampled is None:
            shown = [f"sensor: {node.fault}"]
            self._parts.print_line(shown[0])
        else:
            shown = [f"{sampled.temperature_c / 100:.2f} C", f"{sampled.humidity_c / 100:.1f} %RH", sampled.status]
            values = ",".join([f"{value / 100:.2f}" for value in sampled[:6]])
            unix_ms = node.unix_ms(now_ms)
            time = "" if unix_ms is None else str(unix_ms)
            free, total = self._parts.heap()
            self._parts.print_line(f"{values},{sampled.status},{1000 * took_ms},{free},{total},{self._number},{time}")
        if display is not None:
            display.show([f"node {self._number}"] + shown)  # noqa: RUF005 - MicroPython lacks the other form
