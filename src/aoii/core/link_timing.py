"""How long the link waits, and why: the receive window, and the pauses after it, each with jitter.

It knows neither what is sent nor how much airtime is left (`duty_cycle`). Each pause lies between half of its longest
value and all of it, so that two nodes that collided do not collide again.
"""

from collections import namedtuple

from .packed_fields import Packed

MYPY = False
if MYPY:
    from .interfaces import Random

MAX_DOUBLINGS = 16  # 2 s doubled 16 times is above any limit
MAX_BUSY_DOUBLINGS = 4  # from then on a busy channel is checked every 2 to 4 s: the airtime of 16 packets at SF9


class Timing(
    namedtuple(
        "Timing", "ack_window_ms backoff_ms backoff_limit_ms backlog_pause_ms airtime_ms duty_permille listens noise_ms"
    )
):
    """The times of a link, and how much of the air it may use.

    Attributes:
        ack_window_ms: From sending a packet to the end of its receive window.
        backoff_ms: Longest pause after the first packet without an acknowledgement.
        backoff_limit_ms: Upper limit of all pauses.
        backlog_pause_ms: Longest pause between two packets of backlog.
        airtime_ms: Airtime of one uplink.
        duty_permille: Share of the air that the node may use in any hour, 1..1000.
        listens: Whether the node listens before it talks.
        noise_ms: Largest delay of the time in an acknowledgement, at least 1.
    """

    __slots__ = ()
    ack_window_ms: int
    backoff_ms: int
    backoff_limit_ms: int
    backlog_pause_ms: int
    airtime_ms: int
    duty_permille: int
    listens: bool
    noise_ms: int


# The gateway answers within 0.9 s, and packet and answer take 247 and 206 ms at SF9, 125 kHz, 4/5 (Semtech AN1200.13);
# 1 % is the duty cycle of the EU868 default channels. Pauses: three tries fit into the first 10 s of a minute, and an
# unreachable gateway costs 16 packets an hour for an unchanging reading, a ninth of the duty cycle.
TIMING = Timing(2000, 2000, 300_000, 5000, 247, 10, False, 2000)


class Backoff(Packed):
    """Counts what failed, and gives the pause before the next try.

    Attributes:
        tries: Packets sent since the gateway last acknowledged one.
    """

    NAMES = "tries _busy_pauses"
    FORM = "<IB"

    def __init__(self, timing: Timing, random: "Random") -> None:
        self.tries = 0
        self._busy_pauses = 0  # since the channel was last free
        self._timing = timing
        self._random = random

    def record_packet(self) -> None:
        """A packet was sent."""
        self.tries += 1
        self._busy_pauses = 0

    def record_ack(self) -> None:
        """The gateway acknowledged a packet."""
        self.tries = 0

    def silence_ms(self) -> int:
        """The pause after a packet without an acknowledgement; doubles with each try up to the limit."""
        longest_ms = self._timing.backoff_ms << min(self.tries - 1, MAX_DOUBLINGS)
        return self._jittered(min(self._timing.backoff_limit_ms, longest_ms))

    def busy_ms(self) -> int:
        """The pause while the channel is busy; doubles with each call, MAX_BUSY_DOUBLINGS times at most."""
        longest_ms = self._timing.airtime_ms << self._busy_pauses
        self._busy_pauses = min(self._busy_pauses + 1, MAX_BUSY_DOUBLINGS)
        return 1 + self._jittered(longest_ms)

    def backlog_ms(self) -> int:
        """The pause before the next packet of backlog."""
        return self._jittered(self._timing.backlog_pause_ms)

    def _jittered(self, longest_ms: int) -> int:
        """A random pause between half of `longest_ms` and all of it."""
        return longest_ms // 2 + int(longest_ms // 2 * self._random())
