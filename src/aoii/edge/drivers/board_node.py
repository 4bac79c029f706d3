"""A node's life on its board: wake, sample, speak, listen, sleep.

The board forgets its memory whenever it sleeps deeply, so everything that the node knows is laid down before and taken
up after it: a node that sleeps after every sample is, to the bit, one that never slept. It refuses to decide what is
said (`edge.node`) and when the learner is woken (`edge.journal`).
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
    from .board_interfaces import Clock, RadioDriver
    from .board_sensor import Aht20, Battery

DEEP_MS = 3000  # a shorter pause is waited out awake: starting again takes about a second
NAP_MS = 10_000  # the watchdog is fed so often while the board waits

_LAID = "<qH"  # instant of the next sample, length of what the node knows


class Parts(
    namedtuple("Parts", ("clock", "radio", "sensor", "battery", "display", "sleep_store", "feed", "heap", "say"))
):
    """What a node stands on.

    Attributes:
        clock: Time, which goes on while the board sleeps. radio, sensor: Drivers. battery, display: Drivers, None when
        there is none. sleep_store: Where knowledge lies during a sleep. feed: Feeds the watchdog. heap: Free and total
        bytes. say: Prints a line on the USB port.
    """

    __slots__ = ()
    clock: "Clock"
    radio: "RadioDriver"
    sensor: "Aht20"
    battery: "Battery | None"
    display: "Display | None"
    sleep_store: "SleepStore"
    feed: "Callable[[], None]"
    heap: "Callable[[], tuple[int, int]]"
    say: "Callable[[str], None]"


class Station:
    """A node and what it stands on, from one start of the board to its next sleep.

    Args:
        number: The node's, for its log line.
        node: Just built; it is given back what it knew when the board wakes from a sleep.
        journal: Its predictor, None when the board never sleeps deeply.
        parts: The drivers.

    Attributes:
        slept: Whether this start was the end of a sleep.
    """

    def __init__(self, number: int, node: Node, journal: SampleLog | None, parts: Parts) -> None:
        self._number = number
        self._node = node
        self._journal = journal
        self._parts = parts
        self._next_ms = parts.clock.now_ms()  # the first sample is taken at once
        self.slept = self._restore()

    def turn(self) -> int:
        """Do what is due; how long nothing will be, in milliseconds."""
        clock, node = self._parts.clock, self._node
        self._parts.feed()
        if clock.now_ms() >= self._next_ms:
            self._sample()
        else:
            self._speak(node.due(clock.now_ms()))
        while node.link.state == WAITING and clock.now_ms() < self._next_ms:
            self._listen()
        deadline_ms = node.deadline_ms()
        until_ms = self._next_ms if deadline_ms is None else min(self._next_ms, deadline_ms)
        return max(0, until_ms - clock.now_ms())

    def prepare_sleep(self) -> None:
        """Make ready for a deep sleep, after which a new station goes on."""
        self._parts.radio.sleep()
        display = self._parts.display
        if display is not None:
            display.off()
        known = self._node.dump()
        journal = b"" if self._journal is None else self._journal.dump()
        self._parts.sleep_store.save(struct.pack(_LAID, self._next_ms, len(known)) + known + journal)

    def _restore(self) -> bool:
        laid = self._parts.sleep_store.take()
        if len(laid) < struct.calcsize(_LAID):
            return False
        size = struct.calcsize(_LAID)
        next_ms, known = struct.unpack(_LAID, laid[:size])
        if not self._node.load(laid[size : size + known]):
            return False
        if self._journal is not None:
            self._journal.load(laid[size + known :])
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
        if self._next_ms <= now_ms:  # a busy board leaves samples out; it does not take them late
            self._next_ms = now_ms + period_ms
        self._tell(now_ms, took_ms)  # before it speaks: afterwards the radio must listen at once
        self._speak(sends)

    def _speak(self, sends: list[Send]) -> None:
        for send in sends:
            self._parts.feed()
            self._parts.radio.send(send.data)

    def _listen(self) -> None:
        """Until a packet or the end of the receive window."""
        clock, node = self._parts.clock, self._node
        deadline_ms = node.deadline_ms()
        until_ms = self._next_ms if deadline_ms is None else min(self._next_ms, deadline_ms)
        packet = self._parts.radio.receive(max(0, until_ms - clock.now_ms()))
        now_ms = clock.now_ms()
        self._speak(node.due(now_ms) if packet is None else node.receive(packet.data, now_ms))

    def _tell(self, now_ms: int, took_ms: int) -> None:
        """The log line of the older firmware, with node and time behind it; without a reading, what the matter is."""
        node, display = self._node, self._parts.display
        sampled = node.sampled
        if sampled is None:
            shown = [f"sensor: {node.fault}"]
            self._parts.say(shown[0])
        else:
            shown = [f"{sampled.temperature_c / 100:.2f} C", f"{sampled.humidity_c / 100:.1f} %RH", sampled.status]
            values = ",".join([f"{value / 100:.2f}" for value in sampled[:6]])
            unix_ms = node.unix_ms(now_ms)
            time = "" if unix_ms is None else str(unix_ms)
            free, total = self._parts.heap()
            self._parts.say(f"{values},{sampled.status},{1000 * took_ms},{free},{total},{self._number},{time}")
        if display is not None:
            display.show([f"node {self._number}"] + shown)  # noqa: RUF005 - MicroPython lacks the other form
