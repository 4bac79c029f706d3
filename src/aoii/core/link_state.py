"""What a link remembers, also through a deep sleep: the pending reading, its frames, questions, and the settings.

A dump always has the same number of bytes. Nothing is checked here: `edge.node` adds a CRC to its whole dump. The parts
of a link (clock, back-off, budget, ring, counters) dump themselves.
"""

import struct
from collections import namedtuple

from .forecast import Forecast, NodeSettings, Trend
from .frames import UPLINK_BYTES, Uplink
from .packed_fields import Packed
from .ring import StoredReading

_FIELDS = "<HHHHHBIIIIIIIBBBBi"  # settings; frames of the pending reading, and of the superseded one; pending reading
_HEARTBEAT = "<IhHIBq"
_FORECAST = "<hHbbbbBHHHHHBq"
FORECAST_BYTES = 1 + struct.calcsize(_FORECAST)


class PendingReading(namedtuple("PendingReading", "counter kind forecast flags generation battery answers")):
    """A reading that is not acknowledged yet.

    Attributes:
        counter: Event counter of the reading.
        kind: EVENT, HEARTBEAT or BACKFILL.
        forecast: Reading, trend and settings, on the node's monotonic clock; in backfill the trend has no meaning.
        flags: SENSOR_FAULT and LOW_BATTERY.
        generation: As in `Uplink`.
        battery: As in `Uplink`.
        answers: As in `Uplink`.
    """

    __slots__ = ()
    counter: int
    kind: int
    forecast: Forecast
    flags: int
    generation: int
    battery: int
    answers: int

    def uplink(self, node: int, epoch: int, frame: int, age_s: int) -> Uplink:
        """The reading as the uplink with this frame number, when the reading is `age_s` old."""
        content = self.forecast[:3]  # reading and trend
        rest = (self.kind | self.flags, self.generation, self.battery, self.answers)
        return Uplink(node, epoch, frame, self.counter, age_s, *content, *rest)


class SentFrames(namedtuple("SentFrames", "counter first last")):
    """The frames that have carried one reading.

    Attributes:
        counter: Event counter of the reading.
        first: Number of the first of them; 1 before there is one.
        last: Number of the newest of them; 0 before there is one.
    """

    __slots__ = ()
    counter: int
    first: int
    last: int

    def include(self, frame: int) -> bool:
        """Whether the frame with this number carried the reading."""
        return self.first <= frame <= self.last


class LinkState(Packed):
    """What a link remembers, apart from its state in RULES and its parts.

    Args:
        settings: Settings that the node was provisioned with.

    Attributes:
        pending: The reading that is to be acknowledged; None when the link is idle.
        sent: Frames that have carried the pending reading.
        superseded: Frames that have carried the reading that was superseded last.
        heartbeat: That reading if it was a heartbeat, which is not in the ring; otherwise None.
        target: The number that the gateway has asked for; 0: none.
        settings: Settings in force.
        generation: The gateway's generation of these settings, 0..7; 0: as provisioned.
        last_ack_ms: When the pending reading was last acknowledged; None before the first time.
        rejected: Number of received packets that were not an acknowledgement for this node.
    """

    NAMES = (
        "generation rejected _deadline_ms _framed_ms _heartbeat_doublings last_ack_ms _data target _recalls _recalls_ms"
    )
    FORM = "<BIqqBq32sIBq"

    def __init__(self, settings: NodeSettings) -> None:
        self.pending: PendingReading | None = None
        self.sent = self.superseded = SentFrames(0, 1, 0)
        self.heartbeat: StoredReading | None = None
        self.settings = settings
        self.generation = 0
        self.target = 0
        self.last_ack_ms: int | None = None
        self.rejected = 0
        self._deadline_ms: int | None = None  # when idle: of the next backfill, None before the first acknowledgement
        self._heartbeat_doublings = 0
        self._data = bytes(UPLINK_BYTES)  # the newest frame of `sent`
        self._framed_ms = 0  # when that frame was made
        self._recalls = 0  # sent since `_recalls_ms`
        self._recalls_ms = 0  # a recall at this time began the present day of the cap

    def dump(self) -> bytes:
        """All of it, always the same number of bytes."""
        pending = self.pending
        reading = (0,) * 6 if pending is None else pending[:2] + pending[3:]
        state = super().dump() + struct.pack(_FIELDS, *self.settings, *self.sent, *self.superseded, *reading)
        state += struct.pack(_HEARTBEAT, *(self.heartbeat or (0,) * 6))
        return state + dump_forecast(None if pending is None else pending.forecast)

    def load(self, state: bytes, at: int) -> int:
        """Continue from a `dump` that begins at `at`; return where it ends."""
        at = super().load(state, at)
        end = at + struct.calcsize(_FIELDS)
        fields = struct.unpack(_FIELDS, state[at:end])
        self.settings = NodeSettings(*fields[:6])
        self.sent, self.superseded = SentFrames(*fields[6:9]), SentFrames(*fields[9:12])
        at, end = end, end + struct.calcsize(_HEARTBEAT)
        heartbeat = StoredReading(*struct.unpack(_HEARTBEAT, state[at:end]))
        self.heartbeat = heartbeat if heartbeat.counter else None
        forecast = load_forecast(state, end)
        self.pending = None if forecast is None else PendingReading(fields[12], fields[13], forecast, *fields[14:])
        return end + FORECAST_BYTES


def dump_forecast(forecast: Forecast | None) -> bytes:
    """FORECAST_BYTES that hold a forecast or None."""
    if forecast is None:
        return bytes(FORECAST_BYTES)
    fields = struct.pack(_FORECAST, *forecast[:2], *forecast.trend, *forecast.settings, forecast.sampled_ms)
    return b"\x01" + fields


def load_forecast(state: bytes, at: int) -> Forecast | None:
    """The forecast of a `dump_forecast` that begins at `at`."""
    if not state[at]:
        return None
    fields = struct.unpack(_FORECAST, state[at + 1 : at + FORECAST_BYTES])
    return Forecast(fields[0], fields[1], Trend(*fields[2:7]), NodeSettings(*fields[7:13]), fields[13])
