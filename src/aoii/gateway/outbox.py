"""The outbox policy: which accepted readings wait, which are in flight, and which one is published next.

The file (`drivers/outbox_file`) holds every accepted reading until its commit acknowledgement. This policy holds only a
window of them in memory, so a backlog of a million costs no more than one of a thousand. The newest reading, for people
who watch, and the oldest of the backlog take turns, so that neither starves the other. A reading in flight that gets no
commit acknowledgement by its deadline is published again, as often as it takes. While no acknowledgement at all comes
(*silence*), that would flood a subscriber that never acknowledges; then one reading at a time asks, ever more seldom
(unless nobody subscribes), and the first acknowledgement brings all others forward. Nothing is dropped. Pure.

Readings that nobody acknowledges keep no others from being published: when the window is full, the one that has been in
flight for longest, if that is long enough, makes room. For one of the backlog it does so only when a later one was
acknowledged, because a server that is merely slow must not get all of the backlog at once. A fresh reading need not
even wait so long: some of the window is for fresh ones alone.

A reading is in one of six places: *file only* (above the cursor, up to which the file was read), *fresh* (just
accepted), *backlog* (fetched from the file, in order), *in flight* (published, not acknowledged), *set aside* (it has
made room, and no later one was acknowledged yet, so it may only be slow: until one is, or until the next pass through
the file), *held* (the broker does not take it, or it has made room although a later one was acknowledged: below the
cursor, and in no other place until the next pass). `acknowledge` removes it from any.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from aoii.broker.messages import Identity
from aoii.gateway.in_flight import Flight, InFlight
from aoii.gateway.readings import Item

WINDOW = 500  # in-flight readings; a broker's default queue for an offline subscriber holds 1,000
FIRST_DEADLINE_MS = 5_000  # for the commit acknowledgement; doubled each time that the reading is published again
LAST_DEADLINE_MS = 300_000  # where the doubling ends
SILENCE_MS = 6_000  # without any commit acknowledgement; a first deadline is over, so every reading was sent twice
ASK_FACTOR = 4  # a reading that asks does so at QoS 1 and waits at the broker for the server, so few are enough
LIVE_SHARE = 10  # one in so many places of the window is for fresh readings alone
LIVE_PATIENCE_MS = FIRST_DEADLINE_MS  # in flight for so long, a reading makes room for a fresh one
BACKLOG_PATIENCE_MS = 3 * FIRST_DEADLINE_MS  # the same for one of the backlog: two deadlines, so three publishes
HELD_LIMIT = 10_000  # readings that the broker does not take and that are remembered, for the count
HOLD_MS = 300_000  # then held readings are tried again; doubled for each pass through the file after which most remain
LAST_HOLD_MS = 3_600_000  # where the doubling ends: a pass publishes each of them three times


@dataclass(frozen=True, slots=True)
class Fetch:
    """A request to the file: the readings above sequence number `after`, in order, at most `limit`."""

    after: int
    limit: int


class Fetched(NamedTuple):
    """The file's answer to a `Fetch`.

    Attributes:
        items: The readings.
        last_seq: Sequence number up to which the file was read.
        is_all: Whether nothing lies above `last_seq`.
    """

    items: Sequence[Item]
    last_seq: int
    is_all: bool


class Outbox:
    """The policy of one gateway. A backlog that the file holds at the start is found by fetching.

    Args:
        jitter: Returns numbers 0..1, which spread the deadlines.
        window: Limit on in-flight readings.
    """

    def __init__(self, jitter: Callable[[], float], window: int = WINDOW) -> None:
        self._window = window
        self._backlog_window = window - max(1, window // LIVE_SHARE)
        self._fresh: dict[Identity, Item] = {}  # newest last
        self._backlog: dict[Identity, Item] = {}  # oldest first
        self._in_flight = InFlight(jitter)
        self._cursor = 0  # everything up to here is fresh, backlog, in flight or acknowledged
        self._complete = False  # whether the same holds for everything above the cursor
        self._fetching: Fetch | None = None
        self._is_online = False
        self._is_turn_of_fresh = True
        self._unanswered_since_ms: int | None = None  # since when readings in flight have got no acknowledgement at all
        self._is_silent = False
        self._ask_wait_ms = FIRST_DEADLINE_MS
        self._ask_ms = 0  # when the next reading asks, in silence
        self._is_turn_of_backlog = False  # whether one of the backlog was the last to ask
        self._set_aside: dict[Identity, Flight] = {}  # at most HELD_LIMIT; they count in `_held_in_pass`, too
        self._held: set[Identity] = set()  # only those that the broker does not take
        self._held_in_pass = 0  # for either reason
        self._held_in_last_pass = 0
        self._hold_wait_ms = HOLD_MS // 2  # the first wait is twice as long
        self._release_ms: int | None = None  # when the next pass begins; None until the file was read to its end

    @property
    def held(self) -> int:
        """How many readings the broker does not take, as far as they were tried; at most `HELD_LIMIT`."""
        return len(self._held)

    def silent_ms(self, now_ms: int) -> int:
        """For how long readings have been in flight without any commit acknowledgement; 0 when none is missing."""
        return 0 if self._unanswered_since_ms is None or not self._is_silent else now_ms - self._unanswered_since_ms

    def connected(self, now_ms: int) -> None:
        """The broker can be reached; in-flight readings are published again soon, unless acknowledged first.

        In silence, only one of them is: it finds out whether somebody acknowledges now.
        """
        self._is_online = True
        if self._held:  # the limit of this connection may be another
            self._release_ms = now_ms
        if self._is_silent:
            self._ask_wait_ms = FIRST_DEADLINE_MS
            self._ask_ms = min(self._ask_ms, now_ms + self._in_flight.spread(FIRST_DEADLINE_MS))
            return
        self._unanswered_since_ms = now_ms if self._in_flight else None
        self._in_flight.hurry(FIRST_DEADLINE_MS, now_ms)

    def disconnected(self) -> None:
        """Nothing is published until `connected`."""
        self._is_online = False

    def add(self, item: Item) -> None:
        """Add a reading that was committed to the file just now."""
        if item.identity in self._in_flight or item.identity in self._backlog:
            return
        self._fresh[item.identity] = item
        if len(self._fresh) > self._window:
            self._return_to_file(_pop_first(self._fresh))

    def expect_more(self) -> None:
        """The file has readings again that were acknowledged before, behind all others; they are backlog."""
        self._complete = False

    def acknowledge(self, identities: Iterable[Identity], now_ms: int) -> None:
        """Forget readings that the server has acknowledged and the file no longer has; unknown ones are ignored."""
        for identity in identities:
            self._in_flight.acknowledge(identity)
            self._fresh.pop(identity, None)
            self._backlog.pop(identity, None)
            self._held.discard(identity)
            self._held_in_pass -= self._set_aside.pop(identity, None) is not None
        self._bring_back(self._in_flight.is_overtaken)
        if self._is_silent:  # the way is open again: do not wait out deadlines of minutes
            self._in_flight.hurry_once(FIRST_DEADLINE_MS, now_ms)
        self._is_silent = False
        self._unanswered_since_ms = now_ms if self._in_flight else None

    def hold(self, identity: Identity, now_ms: int) -> None:
        """Make room for others: the broker does not take this reading. It stays in the file."""
        if not self._in_flight.remove(identity):
            return
        self._held_in_pass += 1
        if len(self._held) < HELD_LIMIT:
            self._held.add(identity)
        if not self._in_flight:
            self._unanswered_since_ms, self._is_silent = None, False
        self._ask_ms = min(self._ask_ms, now_ms)  # nobody was asked, so in silence another one asks

    def unheard(self, now_ms: int) -> None:
        """The broker says that nobody subscribes: in silence, ask again soon, which floods nobody."""
        if self._is_silent:
            self._ask_wait_ms = FIRST_DEADLINE_MS
            self._ask_ms = min(self._ask_ms, now_ms + self._in_flight.spread(FIRST_DEADLINE_MS))

    def next_fetch(self) -> Fetch | None:
        """A request to the file, to be answered by `add_fetched` or `fail_fetch`; None when none is needed."""
        has_room = 2 * len(self._backlog) < self._window
        if self._complete or self._fetching is not None or not (self._is_online and has_room):
            return None
        self._fetching = Fetch(self._cursor, self._window)
        return self._fetching

    def add_fetched(self, fetched: Fetched) -> None:
        """Add the file's answer to `next_fetch`."""
        fetch, self._fetching = self._fetching, None
        if fetch is None or self._cursor < fetch.after:  # the cursor went back meanwhile, so fetch again from there
            return
        self._cursor = max(self._cursor, fetched.last_seq)
        self._complete = fetched.is_all
        for item in fetched.items:
            if item.identity not in self._in_flight and item.identity not in self._fresh:
                self._backlog[item.identity] = item

    def fail_fetch(self) -> None:
        """The file could not be read; `next_fetch` asks again."""
        self._fetching = None

    def take_due(self, now_ms: int) -> list[Item]:
        """The readings to publish now; each is in flight from here on, whether or not publishing succeeds."""
        if not self._is_online:
            return []
        if self._complete and not self._backlog:  # the end of a pass: what lies behind many held ones had its turn, too
            self._release(now_ms)
        if self._unanswered_since_ms is not None and now_ms - self._unanswered_since_ms >= SILENCE_MS:
            items = self._ask(now_ms)
        else:
            items = self._launch_late(now_ms)
        while (item := self._next(now_ms)) is not None:
            items.append(item)
        return items

    def _launch_late(self, now_ms: int) -> list[Item]:
        late = self._in_flight.late(now_ms)
        for flight in late:
            self._in_flight.launch_again(flight, min(2 * flight.wait_ms, LAST_DEADLINE_MS), now_ms)
        return [_again(flight.item) for flight in late]

    def _ask(self, now_ms: int) -> list[Item]:
        """In silence: the reading that asks now, if it is time.

        New readings ask, too, but at QoS 0, which the server may not get, or they may be those that nobody
        acknowledges. For the same reason, one of the backlog asks in turn with those in flight.
        """
        longest = self._in_flight.first_due()
        if not self._is_silent:
            self._is_silent = True
            self._bring_back(lambda _: True)
            self._ask_wait_ms = FIRST_DEADLINE_MS if longest.due_ms <= now_ms else ASK_FACTOR * FIRST_DEADLINE_MS
            self._ask_ms = now_ms if longest.due_ms <= now_ms else now_ms + self._in_flight.spread(self._ask_wait_ms)
        if now_ms < self._ask_ms:
            return []
        self._ask_wait_ms = min(ASK_FACTOR * self._ask_wait_ms, LAST_DEADLINE_MS)
        self._ask_ms = now_ms + self._in_flight.spread(self._ask_wait_ms)
        self._is_turn_of_backlog = bool(self._backlog) and not self._is_turn_of_backlog
        if self._is_turn_of_backlog:
            item = _pop_first(self._backlog)
            if not self._has_place(is_fresh=False):
                self._pass_over(self._in_flight.oldest(self._is_of_backlog(False)))
            self._launch(item, now_ms, is_fresh=False)
            return [_again(item)]
        self._in_flight.launch_again(longest, self._ask_wait_ms, now_ms)
        longest.is_hurried = False  # or it would wait as long as this question, also after the answer
        return [_again(longest.item)]

    def deadline_ms(self) -> int | None:
        """When `take_due` will have a reading if nothing else happens before; None: never."""
        if not self._is_online:
            return None
        times_ms = [self._room_ms(True) if self._fresh else None, self._room_ms(False) if self._backlog else None]
        if self._in_flight:
            times_ms.append(self._ask_ms if self._is_silent else self._in_flight.first_due().due_ms)
        return min((time_ms for time_ms in times_ms if time_ms is not None), default=None)

    def _next(self, now_ms: int) -> Item | None:
        """Launch the next new reading, and make room for it; None if there is none or it has no room."""
        source = self._source(now_ms)
        if source is None:
            return None
        is_fresh = source is self._fresh
        self._is_turn_of_fresh = not is_fresh
        item = self._fresh.popitem()[1] if is_fresh else _pop_first(self._backlog)
        if not self._has_place(is_fresh):
            passed_over = self._in_flight.oldest(self._is_of_backlog(is_fresh))
            if self._is_silent:
                self._in_flight.remove(passed_over.item.identity)
                self._return_to_file(passed_over.item)  # nothing is acknowledged, so this reading is no exception
                item = replace(item, qos=0)  # or the broker would keep them all for a server that is away
            else:
                self._pass_over(passed_over)
        self._launch(item, now_ms, is_fresh)
        return item

    def _source(self, now_ms: int) -> dict[Identity, Item] | None:
        """The place of the next new reading: the newest of the fresh, in turn with the oldest of the backlog."""
        is_fresh = bool(self._fresh) and self._has_room(True, now_ms)
        is_backlog = bool(self._backlog) and self._has_room(False, now_ms)
        if is_fresh and (self._is_turn_of_fresh or not is_backlog):
            return self._fresh
        return self._backlog if is_backlog else None

    def _has_room(self, is_fresh: bool, now_ms: int) -> bool:
        room_ms = self._room_ms(is_fresh)
        return room_ms is not None and room_ms <= now_ms

    def _room_ms(self, is_fresh: bool) -> int | None:
        """When the window has room for a new reading; None: not before one is acknowledged.

        In silence, no reading makes room for the backlog: that would publish all of it, to nobody. Nor does one that no
        other has overtaken: that would publish all of it faster than a slow server takes it.
        """
        if self._has_place(is_fresh):
            return 0
        oldest = self._in_flight.oldest(self._is_of_backlog(is_fresh))
        if not is_fresh and (self._is_silent or not self._in_flight.is_overtaken(oldest)):
            return None
        patience_ms = LIVE_PATIENCE_MS if is_fresh else BACKLOG_PATIENCE_MS
        return max(oldest.since_ms + patience_ms, oldest.spared_until_ms)

    def _is_of_backlog(self, is_fresh: bool) -> bool:
        """Whether only one of the backlog can make room: the backlog has all of its places."""
        return not is_fresh and self._in_flight.from_backlog >= self._backlog_window

    def _has_place(self, is_fresh: bool) -> bool:
        """Whether the window has a free place for such a reading."""
        is_free = len(self._in_flight) < self._window
        return is_free and (is_fresh or self._in_flight.from_backlog < self._backlog_window)

    def _launch(self, item: Item, now_ms: int, is_fresh: bool) -> None:
        self._in_flight.launch(item, FIRST_DEADLINE_MS, now_ms, is_fresh=is_fresh)
        if self._unanswered_since_ms is None:
            self._unanswered_since_ms = now_ms

    def _release(self, now_ms: int) -> None:
        """Begin the next pass, when it is time: have held readings fetched from the file again."""
        if not self._held_in_pass:
            self._hold_wait_ms, self._held_in_last_pass = HOLD_MS // 2, 0
        elif self._release_ms is None:
            is_worth_it = 2 * self._held_in_pass <= self._held_in_last_pass  # acknowledgements were lost, no more
            self._hold_wait_ms = HOLD_MS if is_worth_it else min(2 * self._hold_wait_ms, LAST_HOLD_MS)
            self._release_ms = now_ms + self._hold_wait_ms
        elif now_ms >= self._release_ms:
            self._held.clear()
            self._set_aside.clear()
            self._held_in_last_pass, self._held_in_pass = self._held_in_pass, 0
            self._release_ms = None
            self._cursor = 0
            self._complete = False

    def _pass_over(self, flight: Flight) -> None:
        """Make room: hold a reading until the next pass, or only until a later one is acknowledged if none was."""
        self._in_flight.remove(flight.item.identity)
        self._held_in_pass += 1
        if not self._in_flight.is_overtaken(flight) and len(self._set_aside) < HELD_LIMIT:
            self._set_aside[flight.item.identity] = flight

    def _bring_back(self, condition: Callable[[Flight], bool]) -> None:
        """Have readings that were set aside fetched from the file again, if the condition holds for them."""
        for flight in [flight for flight in self._set_aside.values() if condition(flight)]:
            del self._set_aside[flight.item.identity]
            self._held_in_pass -= 1
            self._return_to_file(flight.item)

    def _return_to_file(self, item: Item) -> None:
        """Forget a reading that stays in the file; it is fetched from there later."""
        self._cursor = min(self._cursor, item.seq - 1)
        self._complete = False


def _again(item: Item) -> Item:
    """The reading as it is published again: at QoS 1, because at QoS 0 no broker keeps it for a server that is away."""
    return replace(item, qos=1)


def _pop_first(readings: dict[Identity, Item]) -> Item:
    return readings.pop(next(iter(readings)))
