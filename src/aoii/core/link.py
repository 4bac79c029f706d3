"""The node's end of the radio link: sends a packet until the gateway has it; no number gets two contents.

Stop-and-wait: one packet is pending at a time. An event is written to flash before it is sent, and waits there until it
is acknowledged. A fresh frame is resent byte for byte; later the same reading goes out in a new frame. When the
measurements have moved on, the caller submits a newer reading; the older event is sent later as backfill, when nothing
newer is pending. What is acknowledged is kept in the `ring`, and sent again when an acknowledgement asks for it. RULES
is the complete state machine; `trigger` decides what is worth sending. There is no clock and no radio here: times come
in as `now_ms` of the node's clock, packets go out as values.

What both ends hold, and why they agree: docs/explanation/link.md.
"""

from collections import namedtuple

from .clocks import UnixClock
from .duty_cycle import DutyCycleBudget
from .errors import InternalError
from .forecast import HOLD, Forecast, NodeSettings, Trend
from .frames import (
    AGAIN_LIMIT,
    AGE_LIMIT_S,
    ANSWER_LIMIT,
    BACKFILL,
    EVENT,
    HEARTBEAT,
    KIND_NAMES,
    Rejected,
    decode_ack,
    encode_uplink,
)
from .link_state import LinkState, PendingReading, SentFrames
from .link_timing import TIMING, Backoff, Timing
from .ring import Ring, StoredReading
from .store import CounterAllocator

MYPY = False
if MYPY:
    from .interfaces import IsBusy, Random, Store
    from .packed_fields import Packed

# States.
IDLE = "idle"  # nothing is pending; there may be a backlog, or a reading that was asked for
READY = "ready"  # a packet is pending and goes out at the deadline
WAITING = "waiting"  # a packet was sent; the radio listens for its acknowledgement
STATES = (IDLE, READY, WAITING)

# Events.
SUBMIT = "submit"  # the caller has a newer reading
DUE = "due"  # the deadline has passed
SPENT = "spent"  # the deadline has passed, but the duty-cycle budget is used up
BUSY = "busy"  # the deadline has passed, but the channel is busy
ACK = "ack"  # the pending packet is acknowledged
STRAY = "stray"  # an authentic acknowledgement of another packet

# Actions.
TAKE = "take"  # the new packet is pending, with a counter of its own, and is sent at once
SUPERSEDE = "supersede"  # as TAKE, but the back-off is kept, and a superseded event stays in the backlog
RECALL = "recall"  # a reading that was asked for, else the oldest of the backlog, is pending, to be sent as backfill
TRANSMIT = "transmit"  # send: the same bytes again while they are fresh, otherwise the same reading in a new frame
DEFER = "defer"  # wait until the duty cycle allows a packet
YIELD = "yield"  # wait for a random time, longer each time up to a limit, then listen again
BACK_OFF = "back_off"  # wait, twice as long each time up to a limit, with jitter, then try again
RELEASE = "release"  # the gateway has the reading; nothing is pending
KEEP = "keep"  # the superseded reading is kept, no longer backlog, if this acknowledges it; otherwise nothing

RULES = {
    (IDLE, SUBMIT): (READY, TAKE),
    (IDLE, DUE): (READY, RECALL),
    (IDLE, STRAY): (IDLE, KEEP),
    (READY, SUBMIT): (READY, SUPERSEDE),
    (READY, DUE): (WAITING, TRANSMIT),
    (READY, SPENT): (READY, DEFER),
    (READY, BUSY): (READY, YIELD),
    (READY, ACK): (IDLE, RELEASE),
    (READY, STRAY): (READY, KEEP),
    (WAITING, SUBMIT): (READY, SUPERSEDE),
    (WAITING, DUE): (READY, BACK_OFF),
    (WAITING, ACK): (IDLE, RELEASE),
    (WAITING, STRAY): (WAITING, KEEP),
}

# Of a sampling period. A frame contains the age of its reading: resent after half a period, it would make the gateway
# count one step too few.
FRESH_PERMILLE = 400
RECALLS_A_DAY = 200  # an hour of recalls takes a seventh of the duty cycle at SF9; a gateway asks for 160 at most
DAY_MS = 86_400_000
UNKNOWN_MS = -0x4000000000000000  # sentinel: sampling time unknown; gives an age of AGE_LIMIT_S


class Send(namedtuple("Send", "data kind")):
    """A packet for the radio.

    Attributes:
        data: The frame.
        kind: `event`, `heartbeat` or `backfill`; `retry` if the reading has already been sent as this kind.
    """

    __slots__ = ()
    data: bytes
    kind: str


class Link(LinkState):
    """The machine of RULES for one node.

    Args:
        node: Number of the node.
        epoch: How many times the node has been provisioned.
        key: Key of the node.
        settings: Settings that the node was provisioned with.
        store: Keeps counters and readings when power is lost.
        random: For jitter.
        timing: Pauses and duty cycle.
        is_busy: Whether the channel is busy; needed when `timing.listens`.

    Attributes:
        state: IDLE, READY or WAITING.
        clock: Unix time, as far as it is known.
        ring: Events that are not delivered yet, including a pending one, and the last readings that were.

    Raises:
        InternalError: `is_busy` is missing, or the store has no room for readings.
        UnavailableError: Both records of numbers in the store are damaged.
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
            raise InternalError("this region requires listen-before-talk; pass `is_busy`")
        super().__init__(settings)
        self.state = IDLE
        self.clock = UnixClock(timing.noise_ms)
        self._counters = CounterAllocator(store, node, epoch)
        self.ring = Ring(store, epoch, self._counters)
        self._node = node
        self._epoch = epoch
        self._key = key
        self._timing = timing
        self._is_busy = is_busy
        self._backoff = Backoff(timing, random)
        self._budget = DutyCycleBudget(timing.duty_permille)

    @property
    def offered(self) -> Forecast | None:
        """The pending forecast, which the gateway may hold already; None when both ends are known to hold the same."""
        pending = self.pending
        return pending.forecast if pending is not None and pending.kind != BACKFILL else None

    @property
    def heartbeat_s(self) -> int:
        """How long the node may be silent before a heartbeat, given its settings and link quality; 0: for ever."""
        longest_s, shortest_s = self.settings.heartbeat_s, self.settings.heartbeat_min_s
        return min(longest_s, shortest_s << self._heartbeat_doublings) if shortest_s else longest_s

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
        """Make this reading, the newest so far, the pending one; `due` sends it. An event is in the store on return.

        Args:
            kind: EVENT or HEARTBEAT.
            temperature_c: The reading, hundredths of °C.
            humidity_c: The reading, hundredths of %RH.
            trend: How the gateway's estimate moves on from the reading.
            flags: SENSOR_FAULT, LOW_BATTERY, both or 0.
            battery: As in `Uplink`.
            sampled_ms: When the reading was taken, on the node's monotonic clock.
            now_ms: Now, on the same clock.

        Raises:
            OSError: The store cannot be written. What was pending stays pending.
        """
        counter = self._counters.next_counter()
        forecast = Forecast(temperature_c, humidity_c, trend, self.settings, sampled_ms)
        pending = PendingReading(counter, kind, forecast, flags, self.generation, battery, 0)
        if kind == EVENT:
            self.ring.put(self._stored(pending))
        if self._move(SUBMIT) == SUPERSEDE:
            self.superseded = self.sent
            self.heartbeat = self._heartbeat()
        self._set_pending(pending, now_ms)

    def deadline_ms(self) -> int | None:
        """When `due` has something to do; None: only after the next `submit` or `receive`."""
        if self.state == IDLE and not self.ring.waiting and not self.target:
            return None
        return self._deadline_ms

    def due(self, now_ms: int) -> list[Send]:
        """Do what is due; return the packets to send, none before the deadline."""
        sends: list[Send] = []
        while True:
            deadline_ms = self.deadline_ms()
            if deadline_ms is None or deadline_ms > now_ms:
                return sends
            pending = self.pending if self.state != IDLE else self._backfill(now_ms)
            if pending is None:
                return sends
            affordable_ms = self._budget.ready_ms(self._timing.airtime_ms, now_ms)
            action = self._move(self._due_event(affordable_ms <= now_ms))
            if action == TRANSMIT:
                sends.append(self._transmit(pending, now_ms))
            elif action == RECALL:
                if pending.answers:
                    self._recalls = min(RECALLS_A_DAY, self._recalls + 1)
                self._set_pending(pending, now_ms)
            elif action == DEFER:
                self._deadline_ms = affordable_ms
            elif action == YIELD:
                self._deadline_ms = now_ms + self._backoff.busy_ms()
            else:  # BACK_OFF
                self._deadline_ms = now_ms + self._backoff.silence_ms()

    def receive(self, data: bytes, now_ms: int) -> PendingReading | Rejected | None:
        """Handle a packet from the radio, any bytes.

        Only the acknowledgement of the pending reading sets clock and settings and confirms the forecast. It sets the
        clock only within the receive window, so an attacker who delays it cannot shift the clock.

        Returns:
            The pending reading if the packet acknowledges it, None if it acknowledges another, else `Rejected`.
        """
        ack = decode_ack(data, self._node, self._epoch, self._key)
        if isinstance(ack, Rejected):
            self.rejected += 1
            return ack
        pending = self.pending
        if pending is None or not self.sent.include(ack.frame):
            self._move(STRAY)
            if self.superseded.include(ack.frame):
                self.ring.keep(self.superseded.counter, self.heartbeat)
                self.heartbeat = None
            return None
        self.ring.keep(pending.counter, self._heartbeat())  # first: if the flash fails, nothing is acknowledged
        if self.state == WAITING and ack.unix_s and ack.frame == self.sent.last:
            self.clock.synchronize(ack.unix_s * 1000 + ack.unix_ms, now_ms, now_ms - self._framed_ms)
        self._move(ACK)
        # The next heartbeat comes sooner after a resend, later after none: docs/explanation/link.md.
        if self._backoff.tries > 1:
            self._heartbeat_doublings = max(0, self._heartbeat_doublings - 1)
        elif self.heartbeat_s < self.settings.heartbeat_s:
            self._heartbeat_doublings += 1
        if ack.settings is not None:
            if ack.settings != self.settings:  # of two gateways each may number the same settings in its own way
                self._heartbeat_doublings = 0
            self.settings = ack.settings
            self.generation = ack.generation
        if abs(pending.answers) == self.target:
            self.target = 0
        if now_ms - self._recalls_ms >= DAY_MS:
            self._recalls, self._recalls_ms = 0, now_ms
        target = pending.counter - ack.again
        if 1 <= ack.again <= AGAIN_LIMIT and 1 <= target <= ANSWER_LIMIT and self._recalls < RECALLS_A_DAY:
            self.target = target
        self.pending = None
        self.last_ack_ms = now_ms
        self._backoff.record_ack()
        self._deadline_ms = now_ms + self._backoff.backlog_ms()
        return pending

    def dump(self) -> bytes:
        """Everything that is not in the store, always the same number of bytes: for a deep sleep."""
        state = bytes((STATES.index(self.state),))
        return state + super().dump() + b"".join([part.dump() for part in self._parts()])

    def fits(self, state: bytes) -> bool:
        """Whether no numbers were reserved after the `dump` at the end of `state`; otherwise `load` reuses them."""
        return self._counters.fits(state)

    def load(self, state: bytes, at: int) -> int:
        """Continue from a `dump` that begins at `at` and `fits`; return where it ends."""
        self.state = STATES[state[at]]
        at = super().load(state, at + 1)
        for part in self._parts():
            at = part.load(state, at)
        return at

    def _parts(self) -> "tuple[Packed, ...]":
        """What dumps itself, in the order of a dump; the counters are last, where `fits` reads them."""
        return self.clock, self._backoff, self._budget, self.ring, self._counters

    def _due_event(self, is_affordable: bool) -> str:
        """DUE, or the reason why the packet must wait."""
        if self.state != READY:
            return DUE
        if not is_affordable:
            return SPENT
        return BUSY if self._timing.listens and self._is_busy is not None and self._is_busy() else DUE

    def _move(self, event: str) -> str:
        """Make the transition; return its action.

        Raises:
            InternalError: RULES has no such event in this state. Nothing is changed.
        """
        rule = RULES.get((self.state, event))
        if rule is None:
            raise InternalError(f"link: {event} while {self.state}")
        self.state, action = rule
        return action

    def _set_pending(self, pending: PendingReading, now_ms: int) -> None:
        self.pending = pending
        self.sent = SentFrames(pending.counter, 1, 0)
        self._deadline_ms = now_ms

    def _stored(self, pending: PendingReading) -> StoredReading:
        """The reading as the ring holds it."""
        forecast = pending.forecast
        unix_ms = self.clock.unix_ms(forecast.sampled_ms)
        unix_s = 0 if unix_ms is None else max(0, min(0xFFFFFFFF, unix_ms // 1000))
        return StoredReading(
            pending.counter, forecast.temperature_c, forecast.humidity_c, unix_s, pending.flags, forecast.sampled_ms
        )

    def _heartbeat(self) -> StoredReading | None:
        """The pending reading, if it is a heartbeat: the ring does not hold it until it is acknowledged."""
        pending = self.pending
        return self._stored(pending) if pending is not None and pending.kind == HEARTBEAT else None

    def _backfill(self, now_ms: int) -> PendingReading | None:
        """What goes out when nothing is pending; None when the flash has lost all of it."""
        answers = target = self.target
        stored = self.ring.recall(target) if target else self.ring.oldest()
        if stored is None:  # the flash has lost all of it; where something was asked for, nothing else waits either
            self.target = 0
            return None
        if target:
            counter = stored.counter + 1 if stored.counter <= target else 1  # the first that the answer is about
            if counter <= self._counters.floor:
                answers = -target
            elif counter <= self.superseded.counter <= target:
                # Its acknowledgement may still come, after this has said that there was none: then it is not taken.
                self.superseded, self.heartbeat = SentFrames(0, 1, 0), None
        sampled_ms = stored.sampled_ms
        if stored.counter < self._counters.first_counter:  # stored before a power cut, which restarted the clock
            unix_ms = self.clock.unix_ms(now_ms)
            sampled_ms = UNKNOWN_MS
            if stored.unix_s and unix_ms is not None:
                sampled_ms = now_ms - self.clock.tick_from_elapsed(unix_ms - stored.unix_s * 1000)
        forecast = Forecast(stored.temperature_c, stored.humidity_c, HOLD, self.settings, sampled_ms)
        return PendingReading(stored.counter, BACKFILL, forecast, stored.flags, self.generation, 0, answers)

    def _transmit(self, pending: PendingReading, now_ms: int) -> Send:
        forecast = pending.forecast
        kind = "retry" if self.sent.last else KIND_NAMES[pending.kind]
        if not self.sent.last or now_ms - self._framed_ms > forecast.settings.period_s * FRESH_PERMILLE:
            frame = self._counters.next_frame()
            self.sent = SentFrames(pending.counter, self.sent.first if self.sent.last else frame, frame)
            age_s = (self.clock.elapsed_from_tick(now_ms - forecast.sampled_ms) + 500) // 1000
            age_s = max(0, min(AGE_LIMIT_S, age_s))
            self._data = encode_uplink(pending.uplink(self._node, self._epoch, frame, age_s), self._key)
            self._framed_ms = now_ms
        self._backoff.record_packet()
        self._budget.spend(self._timing.airtime_ms, now_ms)
        self._deadline_ms = now_ms + self._timing.ack_window_ms
        return Send(self._data, kind)
