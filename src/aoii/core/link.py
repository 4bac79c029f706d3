"""The node's end of the radio link: one packet at a time until the gateway has it, and never a number twice.

Stop-and-wait. An event lies in the flash before it is sent, and until it is acknowledged. A packet is sent again byte
for byte; when the reading has moved on, the caller submits a newer one, and the older event is sent later as backfill,
when nothing newer waits. RULES is the whole behaviour. It refuses to decide what is worth sending (`trigger`) and reads
no clock and no radio: times come in as `now_ms` of the node's own unwrapped tick, packets go out as values.

What both ends hold, and why they agree: docs/explanation/link.md.
"""

import struct
from collections import namedtuple

from . import packed_fields
from .errors import InternalError
from .forecast import HOLD, Forecast, NodeSettings, Trend
from .frames import (
    AGE_LIMIT_S,
    BACKFILL,
    EVENT,
    HEARTBEAT,
    KIND_NAMES,
    UPLINK_BYTES,
    Rejected,
    Uplink,
    decode_ack,
    encode_uplink,
)
from .store import Backlog, CounterAllocator, Stored
from .unix_clock import UnixClock

MYPY = False
if MYPY:
    from .interfaces import IsBusy, Random, Store

# States.
IDLE = "idle"  # nothing waits but, perhaps, backlog
READY = "ready"  # a packet goes out as soon as its time has come
WAITING = "waiting"  # a packet is on the air; the radio listens for its acknowledgement

# Events.
SUBMIT = "submit"  # the caller has something newer to say
DUE = "due"  # the deadline has come
SPENT = "spent"  # the deadline has come, but the airtime is used up
BUSY = "busy"  # the deadline has come, but somebody else is on the air
ACK = "ack"  # the packet is acknowledged
STRAY = "stray"  # an authentic acknowledgement of something else

# Actions.
TAKE = "take"
SUPERSEDE = "supersede"
RECALL = "recall"
TRANSMIT = "transmit"
DEFER = "defer"
YIELD = "yield"
BACK_OFF = "back_off"
RELEASE = "release"
FORGET = "forget"

RULES = {
    (IDLE, SUBMIT): (READY, TAKE),
    (IDLE, DUE): (READY, RECALL),
    (IDLE, STRAY): (IDLE, FORGET),
    (READY, SUBMIT): (READY, SUPERSEDE),
    (READY, DUE): (WAITING, TRANSMIT),
    (READY, SPENT): (READY, DEFER),
    (READY, BUSY): (READY, YIELD),
    (READY, ACK): (IDLE, RELEASE),
    (READY, STRAY): (READY, FORGET),
    (WAITING, SUBMIT): (READY, SUPERSEDE),
    (WAITING, DUE): (READY, BACK_OFF),
    (WAITING, ACK): (IDLE, RELEASE),
    (WAITING, STRAY): (WAITING, FORGET),
}

MEANINGS = {
    TAKE: "the new packet is the one that waits, with a counter of its own, to be sent at once",
    SUPERSEDE: "the same, and the one that waited stays in the backlog if it was an event; the back-off is kept",
    RECALL: "the oldest backlog waits to be sent as backfill",
    TRANSMIT: "send: the same bytes again while they are fresh, else the same reading in a new frame",
    DEFER: "wait until the duty cycle allows a packet",
    YIELD: "wait for a random time, longer each time up to a limit, then listen again",
    BACK_OFF: "wait, twice as long each time up to a limit, with jitter, then try again",
    RELEASE: "both ends agree; nothing waits",
    FORGET: "a late answer to what was set aside takes that out of the backlog; any other is ignored",
}


class Timing(
    namedtuple(
        "Timing",
        (
            "ack_window_ms",
            "backoff_ms",
            "backoff_limit_ms",
            "backlog_pause_ms",
            "airtime_ms",
            "duty_permille",
            "listens",
            "noise_ms",
        ),
    )
):
    """How patient the link is, and how much of the air it may use.

    Attributes:
        ack_window_ms: From a packet to the end of its receive window.
        backoff_ms: Longest pause after the first silence; the shortest is half of it.
        backoff_limit_ms: No pause is longer.
        backlog_pause_ms: Longest pause between two packets of backlog.
        airtime_ms: What one uplink costs.
        duty_permille: Share of the air that the node may use in any hour, 1..1000.
        listens: Whether it must find the channel free before it sends.
        noise_ms: How late the time in an acknowledgement may be when it is read, at least 1.
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

FRESH_SHARE = 400  # thousandths of a sampling period for which the bytes of a frame, with the age in them, stay true
DOUBLINGS = 16  # 2 s doubled 16 times is above any limit
YIELD_DOUBLINGS = 4  # after that a busy channel is listened to every 2 to 4 s: as long as 16 packets at SF9

NO_FRAMES = (1, 0)  # an empty range of frame numbers: they begin at 1
UNKNOWN_MS = -0x4000000000000000  # when a reading was taken of which nobody knows it: its age is AGE_LIMIT_S


_FORECAST = "<hHbbbbBHHHHHBq"


def dump_forecast(forecast: Forecast | None) -> bytes:
    """A forecast, or none, in always as many bytes."""
    if forecast is None:
        return bytes(1 + struct.calcsize(_FORECAST))
    fields = tuple(forecast[:2]) + tuple(forecast.trend) + tuple(forecast.settings)
    return b"\x01" + struct.pack(_FORECAST, *(fields + (forecast.sampled_ms,)))  # noqa: RUF005 - as the board needs it


def load_forecast(state: bytes, at: int) -> Forecast | None:
    """The forecast that `dump_forecast` put at `at`."""
    if not state[at]:
        return None
    fields = struct.unpack(_FORECAST, state[at + 1 : at + FORECAST_BYTES])
    return Forecast(fields[0], fields[1], Trend(*fields[2:7]), NodeSettings(*fields[7:13]), fields[13])


FORECAST_BYTES = len(dump_forecast(None))


class Item(namedtuple("Item", ("counter", "kind", "forecast", "flags", "generation", "battery"))):
    """What waits to be acknowledged.

    Attributes:
        counter: Event counter of the reading.
        kind: EVENT, HEARTBEAT or BACKFILL.
        forecast: Reading, trend and settings, on the node's tick; for backfill the trend means nothing.
        flags: SENSOR_FAULT and LOW_BATTERY.
        generation, battery: As in `Uplink`.
    """

    __slots__ = ()
    counter: int
    kind: int
    forecast: Forecast
    flags: int
    generation: int
    battery: int


class Send(namedtuple("Send", ("data", "kind"))):
    """A packet for the radio. `kind`: event, heartbeat or backfill; retry when its reading was sent as that before."""

    __slots__ = ()
    data: bytes
    kind: str


class MonotonicClock:
    """The node's milliseconds since it started, from a counter that may wrap at 2**32; never goes back."""

    def __init__(self) -> None:
        self._now_ms = 0
        self._started = False

    def unwrapped(self, tick_ms: int) -> int:
        """The time at this reading of the counter; asked for at least once in 24 days."""
        if not self._started:
            self._started = True
            self._now_ms = tick_ms
        passed_ms = (tick_ms - self._now_ms) & 0xFFFFFFFF
        if passed_ms < 0x80000000:
            self._now_ms += passed_ms
        return self._now_ms

    def dump(self) -> bytes:
        """Where it stands."""
        return packed_fields.dump(self, "<qB", ("_now_ms", "_started"))

    def load(self, state: bytes, at: int) -> int:
        """Go on from a `dump` that begins at `at`; where it ends."""
        return packed_fields.load(self, "<qB", ("_now_ms", "_started"), state, at)


class DutyCycleBudget:
    """Airtime that may still be used: half an hour's allowance at once, the other half comes in through the hour.

    So no hour, wherever it begins, holds more than the allowance.
    """

    def __init__(self, duty_permille: int) -> None:
        self._limit_us = 1_800_000 * duty_permille  # half of 3,600,000 ms * permille, in microseconds
        self._level_us = self._limit_us
        self._at_ms = 0
        self._duty_permille = duty_permille

    def ready_ms(self, airtime_ms: int, now_ms: int) -> int:
        """When a packet of this airtime may be sent: `now_ms` or later."""
        missing_us = 1000 * airtime_ms - self._refilled(now_ms)
        if missing_us <= 0:
            return now_ms
        return now_ms + -(-2 * missing_us // self._duty_permille)

    def spend(self, airtime_ms: int, now_ms: int) -> None:
        """A packet of this airtime goes out."""
        self._level_us = self._refilled(now_ms) - 1000 * airtime_ms
        self._at_ms = now_ms

    def dump(self) -> bytes:
        """What is left."""
        return packed_fields.dump(self, "<qq", ("_level_us", "_at_ms"))

    def load(self, state: bytes, at: int) -> int:
        """Go on from a `dump` that begins at `at`; where it ends."""
        return packed_fields.load(self, "<qq", ("_level_us", "_at_ms"), state, at)

    def _refilled(self, now_ms: int) -> int:
        return min(self._limit_us, self._level_us + (now_ms - self._at_ms) * self._duty_permille // 2)


_FORM = "<BIqIqBBBqIIIII"
_NAMES = (
    "generation",
    "rejected",
    "_deadline_ms",
    "_tries",
    "_framed_ms",
    "_yields",
    "_calm",
    "_is_framed",
    "last_ack_ms",
    "_first_frame",
    "_last_frame",
    "_aside_first",
    "_aside_last",
    "_aside_counter",
)
_STATES = (IDLE, READY, WAITING)
_ITEM = "<IBBBB"
_NO_ITEM = bytes(struct.calcsize(_ITEM))
_SETTINGS = "<HHHHHB"


class Link:
    """The machine of RULES for one node.

    Args:
        node, epoch, key: Who speaks.
        settings: Those that the node was provisioned with.
        store: Where numbers and backlog survive.
        random: For jitter.
        timing: Patience and duty cycle.
        is_busy: Whether somebody is on the air; needed where `timing.listens`.

    Attributes:
        state: IDLE, READY or WAITING.
        item: What waits to be acknowledged, None in IDLE.
        settings, generation: Settings in force, and what the gateway calls them; generation 0: as provisioned.
        clock: Unix time by the node's tick, as far as the gateway told.
        last_ack_ms: When the gateway was heard last, None before the first time.
        backlog: Events not delivered yet, the one that waits among them.
        rejected: Received packets that were no acknowledgement for us.
    """

    def __init__(
        self,
        node: int,
        epoch: int,
        key: bytes,
        settings: NodeSettings,
        store: "Store",
        random: "Random",
        timing: Timing = TIMING,
        is_busy: "IsBusy | None" = None,
    ) -> None:
        if timing.listens and is_busy is None:
            raise InternalError("this region asks to listen before talking; hand in `is_busy`")
        self.state = IDLE
        self.item: Item | None = None
        self.settings = settings
        self.generation = 0
        self.clock = UnixClock(timing.noise_ms)
        self.last_ack_ms: int | None = None
        self.rejected = 0
        self._node = node
        self._epoch = epoch
        self._key = key
        self._numbers = CounterAllocator(store, node, epoch)
        self.backlog = Backlog(store, epoch)
        self._random = random
        self._timing = timing
        self._is_busy = is_busy
        self._budget = DutyCycleBudget(timing.duty_permille)
        self._deadline_ms: int | None = None  # in IDLE: when the backlog goes on; before the first contact never
        self._tries = 0  # since the gateway was heard last
        self._yields = 0  # since the channel was free last
        self._calm = 0  # how often the heartbeat was doubled
        self._data = b""  # the frame of `item`
        self._is_framed = False  # whether it has one
        self._framed_ms = 0
        self._first_frame, self._last_frame = NO_FRAMES  # frame numbers that carried `item`
        self._aside_first, self._aside_last = NO_FRAMES  # the same of what was superseded last,
        self._aside_counter = 0  # and its event counter

    @property
    def offered(self) -> Forecast | None:
        """The forecast that the gateway may or may not hold already; None when both ends are known to agree."""
        item = self.item
        return item.forecast if item is not None and item.kind != BACKFILL else None

    @property
    def heartbeat_s(self) -> int:
        """After how long a silence the node reports, by its settings and by how good the link is; 0: never."""
        longest_s, shortest_s = self.settings.heartbeat_s, self.settings.heartbeat_min_s
        return min(longest_s, shortest_s << self._calm) if shortest_s else longest_s

    def submit(
        self,
        kind: int,
        temperature_c: int,
        humidity_c: int,
        trend: Trend,
        flags: int,
        battery: int,
        sampled_ms: int,
        now_ms: int,
    ) -> None:
        """Say something newer than anything before; `due` sends it. An event is in the store when this returns.

        Args:
            kind: EVENT or HEARTBEAT.
            temperature_c: The reading, hundredths.
            humidity_c: The same.
            trend: How the gateway's estimate shall move on.
            flags: SENSOR_FAULT, LOW_BATTERY, both or 0.
            battery: As in `Uplink`.
            sampled_ms: When the reading was taken, on the node's tick.
            now_ms: The node's tick.
        """
        counter = self._numbers.next_counter()
        if kind == EVENT:
            unix_ms = self.clock.unix_ms(sampled_ms)
            unix_s = 0 if unix_ms is None else max(0, min(0xFFFFFFFF, unix_ms // 1000))
            self.backlog.put(Stored(counter, temperature_c, humidity_c, unix_s, flags, sampled_ms))
        before = self.item
        if self._move(SUBMIT) == SUPERSEDE and before is not None:
            self._aside_first, self._aside_last = self._first_frame, self._last_frame
            self._aside_counter = before.counter
        forecast = Forecast(temperature_c, humidity_c, trend, self.settings, sampled_ms)
        self._take(Item(counter, kind, forecast, flags, self.generation, battery), now_ms)

    def deadline_ms(self) -> int | None:
        """When `due` has something to do; None when only the caller or the radio can bring news."""
        if self.state == IDLE and not len(self.backlog):
            return None
        return self._deadline_ms

    def due(self, now_ms: int) -> list[Send]:
        """Do what the time asks for; the packets to send, none when it is too early."""
        sends: list[Send] = []
        while True:
            deadline_ms = self.deadline_ms()
            if deadline_ms is None or deadline_ms > now_ms:
                return sends
            item = self.item if self.state != IDLE else self._oldest(now_ms)
            if item is None:
                return sends
            affordable_ms = self._budget.ready_ms(self._timing.airtime_ms, now_ms)
            action = self._move(self._what_is_due(affordable_ms <= now_ms))
            if action == TRANSMIT:
                sends.append(self._transmit(item, now_ms))
            elif action == RECALL:
                self._take(item, now_ms)
            elif action == DEFER:
                self._deadline_ms = affordable_ms
            elif action == YIELD:
                self._deadline_ms = now_ms + 1 + self._jittered(self._timing.airtime_ms << self._yields)
                self._yields = min(self._yields + 1, YIELD_DOUBLINGS)
            else:  # BACK_OFF
                self._deadline_ms = now_ms + self._pause_ms()

    def receive(self, data: bytes, now_ms: int) -> Item | Rejected | None:
        """Take what the radio heard: what that settled, why it is not believed, or None when it settled nothing.

        Time of day, settings and forecast are taken from the acknowledgement of what waits, never from a late or
        repeated one; the time only within the receive window, so that nobody can hold it back.
        """
        ack = decode_ack(data, self._node, self._epoch, self._key)
        if isinstance(ack, Rejected):
            self.rejected += 1
            return ack
        item = self.item
        if item is None or not self._first_frame <= ack.frame <= self._last_frame:
            self._move(STRAY)
            if self._aside_first <= ack.frame <= self._aside_last:
                self.backlog.remove(self._aside_counter)
            return None
        if item.kind != HEARTBEAT:
            self.backlog.remove(item.counter)  # before anything else: where the flash fails, nothing was acknowledged
        if self.state == WAITING and ack.unix_s and ack.frame == self._last_frame:
            self.clock.synchronize(ack.unix_s * 1000 + ack.unix_ms, now_ms, now_ms - self._framed_ms)
        self._move(ACK)
        if self._tries > 1:
            self._calm = max(0, self._calm - 1)
        elif self.heartbeat_s < self.settings.heartbeat_s:
            self._calm += 1
        if ack.settings is not None:
            self.settings = ack.settings
            self.generation = ack.generation & 7
            self._calm = 0
        self.item = None
        self.last_ack_ms = now_ms
        self._tries = 0
        self._deadline_ms = now_ms + self._jittered(self._timing.backlog_pause_ms)
        return item

    def dump(self) -> bytes:
        """Everything that is not in the store, always as many bytes: for a deep sleep."""
        item = self.item
        return (
            bytes((_STATES.index(self.state),))
            + packed_fields.dump(self, _FORM, _NAMES)
            + struct.pack(_SETTINGS, *self.settings)
            + (_NO_ITEM if item is None else struct.pack(_ITEM, item.counter, item.kind, *item[3:]))
            + dump_forecast(None if item is None else item.forecast)
            + (self._data or bytes(UPLINK_BYTES))
            + self.clock.dump()
            + self._budget.dump()
            + self.backlog.dump()
            + self._numbers.dump()
        )

    def fits(self, state: bytes, at: int) -> bool:
        """Whether no numbers were reserved since the `dump` that begins at `at`: it would repeat them."""
        return self._numbers.fits(state, at + len(self.dump()) - len(self._numbers.dump()))

    def load(self, state: bytes, at: int) -> int:
        """Go on from a `dump` that begins at `at` and `fits`; where it ends."""
        self.state = _STATES[state[at]]
        at = packed_fields.load(self, _FORM, _NAMES, state, at + 1)
        end = at + struct.calcsize(_SETTINGS)
        self.settings = NodeSettings(*struct.unpack(_SETTINGS, state[at:end]))
        at, end = end, end + len(_NO_ITEM)
        counter, kind, flags, generation, battery = struct.unpack(_ITEM, state[at:end])
        forecast = load_forecast(state, end)
        self.item = None if forecast is None else Item(counter, kind, forecast, flags, generation, battery)
        at = end + FORECAST_BYTES
        self._data = state[at : at + UPLINK_BYTES]
        at = self.clock.load(state, at + UPLINK_BYTES)
        at = self._budget.load(state, at)
        at = self.backlog.load(state, at)
        return self._numbers.load(state, at)

    def _what_is_due(self, is_affordable: bool) -> str:
        """DUE, or what stands against it."""
        if self.state != READY:
            return DUE
        if not is_affordable:
            return SPENT
        return BUSY if self._timing.listens and self._is_busy is not None and self._is_busy() else DUE

    def _move(self, event: str) -> str:
        """Make the transition and return what is to be done.

        Raises:
            InternalError: RULES has no such event in this state.
        """
        rule = RULES.get((self.state, event))
        if rule is None:
            raise InternalError(f"link: {event} while {self.state}")
        self.state, action = rule
        return action

    def _take(self, item: Item, now_ms: int) -> None:
        self.item = item
        self._is_framed = False
        self._first_frame, self._last_frame = NO_FRAMES
        self._deadline_ms = now_ms

    def _oldest(self, now_ms: int) -> Item | None:
        """The oldest backlog as backfill, None when the flash has lost all of it."""
        stored = self.backlog.oldest()
        if stored is None:
            return None
        sampled_ms = stored.sampled_ms
        if stored.counter < self._numbers.first_counter:  # the power was away since: the tick has begun anew
            unix_ms = self.clock.unix_ms(now_ms)
            sampled_ms = UNKNOWN_MS
            if stored.unix_s and unix_ms is not None:
                sampled_ms = now_ms - self.clock.tick_from_elapsed(unix_ms - stored.unix_s * 1000)
        forecast = Forecast(stored.temperature_c, stored.humidity_c, HOLD, self.settings, sampled_ms)
        return Item(stored.counter, BACKFILL, forecast, stored.flags, self.generation, 0)

    def _transmit(self, item: Item, now_ms: int) -> Send:
        kind = "retry" if self._last_frame else KIND_NAMES[item.kind]
        if not self._is_framed or now_ms - self._framed_ms > item.forecast.settings.period_s * FRESH_SHARE:
            self._frame(item, now_ms)
        self._tries += 1
        self._yields = 0
        self._budget.spend(self._timing.airtime_ms, now_ms)
        self._deadline_ms = now_ms + self._timing.ack_window_ms
        return Send(self._data, kind)

    def _frame(self, item: Item, now_ms: int) -> None:
        frame = self._numbers.next_frame()
        forecast = item.forecast
        uplink = Uplink(
            self._node,
            self._epoch,
            frame,
            item.counter,
            max(0, min(AGE_LIMIT_S, (self.clock.elapsed_from_tick(now_ms - forecast.sampled_ms) + 500) // 1000)),
            forecast.temperature_c,
            forecast.humidity_c,
            forecast.trend,
            item.kind | item.flags,
            item.generation,
            item.battery,
        )
        self._data = encode_uplink(uplink, self._key)
        self._is_framed = True
        self._framed_ms = now_ms
        self._first_frame, self._last_frame = self._first_frame if self._last_frame else frame, frame

    def _pause_ms(self) -> int:
        timing = self._timing
        return self._jittered(
            min(timing.backoff_limit_ms, timing.backoff_ms << max(0, min(self._tries - 1, DOUBLINGS)))
        )

    def _jittered(self, longest_ms: int) -> int:
        """Between half of it and all of it."""
        return longest_ms // 2 + int(longest_ms // 2 * self._random())
