"""What a node may still hold, as far as the gateway can know: never fewer than a real node holds, and soon no more."""

import random
from collections.abc import Iterator

import pytest

from aoii.core import frames
from aoii.core.forecast import HOLD, NodeSettings, Trend
from aoii.core.frames import BACKFILL, EVENT, HEARTBEAT, Ack, Uplink
from aoii.core.link import Link
from aoii.core.store import RamStore
from aoii.gateway.waiting_numbers import NUMBERS_LIMIT, WAITING_FOR_S, WaitingNumbers

KEY = bytes(range(16))


def heard(counter: int, flags: int = EVENT, *, answers: int = 0, epoch: int = 1) -> Uplink:
    return Uplink(7, epoch, counter, counter, 0, 2100, 4000, HOLD, flags, 0, 0, answers)


def after(*uplinks: Uplink) -> list[int]:
    """What may wait after each of the frames."""
    numbers = WaitingNumbers()
    return [numbers.record(one, 0.0) for one in uplinks]


def test_what_was_skipped_may_wait_until_it_comes() -> None:
    assert after(heard(5), heard(6), heard(10), heard(7, BACKFILL), heard(8, BACKFILL), heard(9, BACKFILL)) == [
        0, 0, 3, 2, 1, 0,
    ]  # fmt: skip


def test_backlog_comes_oldest_first_so_nothing_below_it_waits() -> None:
    assert after(heard(1), heard(100), heard(90, BACKFILL)) == [0, 98, 9]


def test_backlog_from_before_the_start_of_the_gateway_shows_what_may_wait() -> None:
    """The gateway was away: it comes back, hears the newest reading first, and then the backlog."""
    assert after(heard(200), heard(100, BACKFILL), heard(101, BACKFILL)) == [0, 99, 98]


def test_an_answer_says_of_numbers_that_the_node_does_not_hold_them() -> None:
    assert after(heard(1), heard(100), heard(50, BACKFILL, answers=80)) == [0, 98, 67]  # not 50, and not 51 to 80
    assert after(heard(1), heard(100), heard(90, BACKFILL, answers=-80)) == [0, 98, 18]  # not 90, and none up to 80


def test_a_repeated_frame_changes_nothing() -> None:
    assert after(heard(1), heard(10), heard(10), heard(4, BACKFILL), heard(4, BACKFILL)) == [0, 8, 8, 5, 5]


def test_a_new_epoch_begins_with_nothing() -> None:
    assert after(heard(1), heard(100), heard(1, epoch=2), heard(3, epoch=2)) == [0, 98, 0, 1]


def test_what_may_wait_is_bounded_in_number_and_in_time() -> None:
    numbers = WaitingNumbers()
    numbers.record(heard(1), 0.0)

    assert numbers.record(heard(2**32 - 1), 0.0) == NUMBERS_LIMIT - 1
    assert numbers.record(heard(2**32 - 1), WAITING_FOR_S) == NUMBERS_LIMIT - 1
    assert numbers.record(heard(2**32 - 1), WAITING_FOR_S + 1) == 0


class Field:
    """A real node's link on a bad radio, a minute a step; `cuts` is how likely a power cut is in one."""

    def __init__(self, seed: int, cuts: float) -> None:
        self.chance = random.Random(seed)
        self.cuts = cuts
        self.now_ms = 0
        self.store = RamStore()
        self.link = self._begun()
        self.arrived: set[int] = set()

    def _begun(self) -> Link:
        return Link(7, 1, KEY, NodeSettings(50, 300, 60, 3600, 600, 1), self.store, self.chance.random)

    def frames(self, steps: int, heard_share: float) -> Iterator[Uplink]:
        """Let time pass; each frame that the gateway hears, so often, before the node hears the acknowledgement."""
        for _ in range(steps):
            self.now_ms = now_ms = self.now_ms + 60_000
            if self.chance.random() < self.cuts:
                self.link = self._begun()
            if self.chance.random() < 0.4:
                kind = HEARTBEAT if self.chance.random() < 0.2 else EVENT
                self.link.submit(kind, 2000, 5000, Trend(0, 0, 0, 0, 0), 0, 0, now_ms, now_ms)
            while (due_ms := self.link.deadline_ms()) is not None and due_ms < now_ms + 60_000:
                for send in self.link.due(max(due_ms, now_ms)):
                    if self.chance.random() < heard_share:
                        uplink = frames.decode_uplink(send.data, lambda node: KEY)
                        assert isinstance(uplink, Uplink)
                        self.arrived.add(uplink.counter)
                        yield uplink
                        if self.chance.random() < 0.7:
                            ack = frames.encode_ack(Ack(7, 1, uplink.frame, 0, 0, 0, None, 0), KEY)
                            self.link.receive(ack, max(due_ms, now_ms))

    def held(self, newest: int) -> int:
        """Readings up to this number that wait in the node's ring and have not arrived."""
        ring = self.link.ring
        slots = zip(ring._slots, ring._kept, strict=True)
        return sum(bool(one) and not kept and one <= newest and one not in self.arrived for one, kept in slots)


@pytest.mark.parametrize("seed", range(8))
def test_a_real_node_never_holds_more_than_the_gateway_says(seed: int) -> None:
    field, numbers = Field(seed, cuts=0.004), WaitingNumbers()
    newest, most = 0, 0

    for heard_share in (1.0, 0.1, 0.7):
        for uplink in field.frames(400, heard_share):
            newest = max(newest, uplink.counter)
            waiting = numbers.record(uplink, 0.0)
            assert field.held(newest) <= waiting
            most = max(most, waiting)

    assert most > 20, "the radio was too good to show anything"


@pytest.mark.parametrize("seed", range(8))
def test_a_gateway_that_starts_anew_knows_it_from_the_first_backlog_on(seed: int) -> None:
    field = Field(seed, cuts=0)
    list(field.frames(300, 0.0))  # nobody listens
    numbers, newest, backlog = WaitingNumbers(), 0, 0

    for uplink in field.frames(400, 0.8):
        newest = max(newest, uplink.counter)
        waiting = numbers.record(uplink, 0.0)
        backlog += bool(uplink.flags & BACKFILL)
        if backlog:
            assert field.held(newest) <= waiting

    assert backlog > 60
    assert waiting < 20, "the backlog has been delivered; some heartbeats were superseded"
