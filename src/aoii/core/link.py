"""The node's end of the radio link: one packet at a time until the gateway has it, and never a number twice.

Stop-and-wait. A packet is sent again byte for byte; when the reading has moved on, the caller submits a newer one,
and an event that was not acknowledged becomes backlog, sent later as backfill when nothing newer waits. RULES is the
whole behaviour. It refuses to decide what is worth sending (`trigger`) and reads no clock and no radio: times come in
as `now_ms` of the node's own unwrapped tick, packets go out as values.

What both ends hold, and why they agree: docs/explanation/link.md.
"""

from collections import namedtuple

from .errors import ProgramError
from .frames import (
    AGE_LIMIT_S,
    BACKFILL,
    EVENT,
    KIND_NAMES,
    Rejected,
    Uplink,
    decode_ack,
    encode_uplink,
)
from .plan import HOLD, NodeSettings, Picture, Plan
from .store import Backlog, Numbers, Stored

MYPY = False
if MYPY:
    from .shapes import Random, Store

# States.
IDLE = "idle"  # nothing waits but, perhaps, backlog
READY = "ready"  # a packet goes out as soon as its time has come
WAITING = "waiting"  # a packet is on the air; the radio listens for its acknowledgement

# Events.
SUBMIT = "submit"  # the caller has something newer to say
DUE = "due"  # the deadline has come
SPENT = "spent"  # the deadline has come, but the airtime is used up
ACK = "ack"  # the packet is acknowledged
STRAY = "stray"  # an authentic acknowledgement of something else

# Actions.
TAKE = "take"
SUPERSEDE = "supersede"
RECALL = "recall"
TRANSMIT = "transmit"
DEFER = "defer"
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
    (READY, ACK): (IDLE, RELEASE),
    (READY, STRAY): (READY, FORGET),
    (WAITING, SUBMIT): (READY, SUPERSEDE),
    (WAITING, DUE): (READY, BACK_OFF),
    (WAITING, ACK): (IDLE, RELEASE),
    (WAITING, STRAY): (WAITING, FORGET),
}

MEANINGS = {
    TAKE: "the new packet is the one that waits, with a counter of its own, to be sent at once",
    SUPERSEDE: "the same, and the one that waited becomes backlog if it was an event; the back-off is kept",
    RECALL: "the oldest backlog waits to be sent as backfill",
    TRANSMIT: "send: the same bytes again while they are fresh, else the same reading in a new frame",
    DEFER: "wait until the duty cycle allows a packet",
    BACK_OFF: "wait, twice as long each time up to a limit, with jitter, then try again",
    RELEASE: "both ends agree; nothing waits",
    FORGET: "a late answer to what was set aside takes that out of the backlog; any other is ignored",
}


class Timing(
    namedtuple(
        "Timing",
        ("ack_window_ms", "backoff_ms", "backoff_limit_ms", "backlog_pause_ms", "airtime_ms", "duty_permille"),
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
    """

    __slots__ = ()
    ack_window_ms: int
    backoff_ms: int
    backoff_limit_ms: int
    backlog_pause_ms: int
    airtime_ms: int
    duty_permille: int


# The gateway answers within 0.9 s, and packet and answer take 247 and 206 ms at SF9, 125 kHz, 4/5 (Semtech AN1200.13);
# 1 % is the duty cycle of the EU868 default channels. Pauses: three tries fit into the first 10 s of a minute, and an
# unreachable gateway costs 16 packets an hour for an unchanging reading, a ninth of the duty cycle.
TIMING = Timing(2000, 2000, 300_000, 5000, 247, 10)

FRESH_SHARE = 400  # thousandths of a sampling period for which the bytes of a frame, with the age in them, stay true
DOUBLINGS = 16  # 2 s doubled 16 times is above any limit

NO_FRAMES = (1, 0)  # an empty range of frame numbers


class Item(namedtuple("Item", ("counter", "kind", "picture", "flags", "generation", "battery"))):
    """What waits to be acknowledged.

    Attributes:
        counter: Event counter of the reading.
        kind: EVENT, HEARTBEAT or BACKFILL.
        picture: Reading, plan and settings, on the node's tick; for backfill the plan means nothing.
        flags: SENSOR_FAULT and LOW_BATTERY.
        generation, battery: As in `Uplink`.
    """

    __slots__ = ()
    counter: int
    kind: int
    picture: Picture
    flags: int
    generation: int
    battery: int


class Send(namedtuple("Send", ("data", "kind"))):
    """A packet for the radio. `kind`: event, heartbeat or backfill; retry when its reading was sent as that before."""

    __slots__ = ()
    data: bytes
    kind: str


class Tick:
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


class Budget:
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

    def _refilled(self, now_ms: int) -> int:
        return min(self._limit_us, self._level_us + (now_ms - self._at_ms) * self._duty_permille // 2)


class Link:
    """The machine of RULES for one node.

    Args:
        node, epoch, key: Who speaks.
        settings: Those that the node was provisioned with.
        store: Where numbers and backlog survive.
        random: For jitter.
        timing: Patience and duty cycle.

    Attributes:
        state: IDLE, READY or WAITING.
        item: What waits to be acknowledged, None in IDLE.
        settings, generation: Settings in force, and what the gateway calls them; generation 0: as provisioned.
        unix_offset_ms: Unix time in milliseconds minus the node's tick, None before the gateway told.
        heard_ms: When the gateway was heard last, None before the first time.
        backlog: Events not delivered yet.
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
    ) -> None:
        self.state = IDLE
        self.item: Item | None = None
        self.settings = settings
        self.generation = 0
        self.unix_offset_ms: int | None = None
        self.heard_ms: int | None = None
        self.backlog = Backlog(store, epoch)
        self.rejected = 0
        self._node = node
        self._epoch = epoch
        self._key = key
        self._numbers = Numbers(store, node, epoch)
        self._random = random
        self._timing = timing
        self._budget = Budget(timing.duty_permille)
        self._deadline_ms: int | None = None  # in IDLE: when the backlog goes on; before the first contact never
        self._tries = 0  # since the gateway was heard last
        self._data = b""  # the frame of `item`, empty before its first
        self._framed_ms = 0
        self._frames = NO_FRAMES  # first and last frame number that carried `item`
        self._aside = NO_FRAMES  # the same of what was superseded last,
        self._aside_counter = 0  # and its event counter

    @property
    def offered(self) -> Picture | None:
        """The picture that the gateway may or may not hold already; None when both ends are known to agree."""
        item = self.item
        return item.picture if item is not None and item.kind != BACKFILL else None

    def submit(
        self,
        kind: int,
        temperature_c: int,
        humidity_c: int,
        plan: Plan,
        flags: int,
        battery: int,
        sampled_ms: int,
        now_ms: int,
    ) -> None:
        """Say something newer than anything before; `due` sends it.

        Args:
            kind: EVENT or HEARTBEAT.
            temperature_c: The reading, hundredths.
            humidity_c: The same.
            plan: How the gateway's estimate shall move on.
            flags: SENSOR_FAULT, LOW_BATTERY, both or 0.
            battery: As in `Uplink`.
            sampled_ms: When the reading was taken, on the node's tick.
            now_ms: The node's tick.
        """
        counter = self._numbers.next_counter()
        before = self.item
        if self._move(SUBMIT) == SUPERSEDE and before is not None:
            self._set_aside(before)
        picture = Picture(temperature_c, humidity_c, plan, self.settings, sampled_ms)
        self._take(Item(counter, kind, picture, flags, self.generation, battery), now_ms)

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
            action = self._move(SPENT if self.state == READY and affordable_ms > now_ms else DUE)
            if action == TRANSMIT:
                sends.append(self._transmit(item, now_ms))
            elif action == RECALL:
                self._take(item, now_ms)
            elif action == DEFER:
                self._deadline_ms = affordable_ms
            else:  # BACK_OFF
                self._deadline_ms = now_ms + self._pause_ms()

    def receive(self, data: bytes, now_ms: int) -> Item | Rejected | None:
        """Take what the radio heard: what that settled, why it is not believed, or None when it settled nothing.

        Time of day, settings and picture are taken from the acknowledgement of what waits, never from a late or
        repeated one; the time only within the receive window, so that nobody can hold it back.
        """
        ack = decode_ack(data, self._node, self._epoch, self._key)
        if isinstance(ack, Rejected):
            self.rejected += 1
            return ack
        item = self.item
        if item is None or not self._frames[0] <= ack.frame <= self._frames[1]:
            self._move(STRAY)
            if self._aside[0] <= ack.frame <= self._aside[1]:
                self.backlog.remove(self._aside_counter)
            return None
        if self.state == WAITING and ack.unix_s:
            self.unix_offset_ms = ack.unix_s * 1000 + ack.unix_ms - now_ms
        self._move(ACK)
        if ack.settings is not None:
            self.settings = ack.settings
            self.generation = ack.generation & 7
        if item.kind == BACKFILL:
            self.backlog.remove(item.counter)
        self.item = None
        self.heard_ms = now_ms
        self._tries = 0
        self._deadline_ms = now_ms + self._jittered(self._timing.backlog_pause_ms)
        return item

    def _move(self, event: str) -> str:
        """Make the transition and return what is to be done.

        Raises:
            ProgramError: RULES has no such event in this state.
        """
        rule = RULES.get((self.state, event))
        if rule is None:
            raise ProgramError(f"link: {event} while {self.state}")
        self.state, action = rule
        return action

    def _take(self, item: Item, now_ms: int) -> None:
        self.item = item
        self._data = b""
        self._frames = NO_FRAMES
        self._deadline_ms = now_ms

    def _set_aside(self, item: Item) -> None:
        """Keep an event for later; a heartbeat has nothing to deliver, and backfill lies in the backlog already."""
        self._aside = self._frames
        self._aside_counter = item.counter
        if item.kind == EVENT:
            picture = item.picture
            unix_s = 0
            if self.unix_offset_ms is not None:
                unix_s = max(0, min(0xFFFFFFFF, (picture.sampled_ms + self.unix_offset_ms) // 1000))
            stored = Stored(item.counter, picture.temperature_c, picture.humidity_c, unix_s, item.flags)
            self.backlog.put(stored, picture.sampled_ms)

    def _oldest(self, now_ms: int) -> Item | None:
        """The oldest backlog as backfill, None when the flash has lost all of it."""
        stored = self.backlog.oldest()
        if stored is None:
            return None
        sampled_ms = self.backlog.tick_ms(stored.counter)
        if sampled_ms is None:
            sampled_ms = now_ms - 1000 * AGE_LIMIT_S  # nobody knows any more
            if stored.unix_s and self.unix_offset_ms is not None:
                sampled_ms = stored.unix_s * 1000 - self.unix_offset_ms
        picture = Picture(stored.temperature_c, stored.humidity_c, HOLD, self.settings, sampled_ms)
        return Item(stored.counter, BACKFILL, picture, stored.flags, self.generation, 0)

    def _transmit(self, item: Item, now_ms: int) -> Send:
        kind = KIND_NAMES[item.kind] if self._frames == NO_FRAMES else "retry"
        if not self._data or now_ms - self._framed_ms > item.picture.settings.period_s * FRESH_SHARE:
            self._frame(item, now_ms)
        self._tries += 1
        self._budget.spend(self._timing.airtime_ms, now_ms)
        self._deadline_ms = now_ms + self._timing.ack_window_ms
        return Send(self._data, kind)

    def _frame(self, item: Item, now_ms: int) -> None:
        frame = self._numbers.next_frame()
        picture = item.picture
        uplink = Uplink(
            self._node,
            self._epoch,
            frame,
            item.counter,
            max(0, min(AGE_LIMIT_S, (now_ms - picture.sampled_ms + 500) // 1000)),
            picture.temperature_c,
            picture.humidity_c,
            picture.plan,
            item.kind | item.flags,
            item.generation,
            item.battery,
        )
        self._data = encode_uplink(uplink, self._key)
        self._framed_ms = now_ms
        self._frames = (frame if self._frames == NO_FRAMES else self._frames[0], frame)

    def _pause_ms(self) -> int:
        timing = self._timing
        return self._jittered(
            min(timing.backoff_limit_ms, timing.backoff_ms << max(0, min(self._tries - 1, DOUBLINGS)))
        )

    def _jittered(self, longest_ms: int) -> int:
        """Between half of it and all of it."""
        return longest_ms // 2 + int(longest_ms // 2 * self._random())
