"""What a node holds of its readings, and what it may say of numbers that it does not hold.

The model at the end is the proof: the power goes at any write, the node sleeps, acknowledgements come late or twice and
ask for anything. It holds the flash against a specification of its own, and every proof on the air against what the
node has heard.
"""

import random
import struct
from binascii import crc32

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from aoii.core import frames, store
from aoii.core.errors import InternalError
from aoii.core.forecast import HOLD
from aoii.core.frames import BACKFILL, EVENT, HEARTBEAT, Ack, NodeSettings, Rejected, Uplink
from aoii.core.link import IDLE, Link, Send
from aoii.core.ring import Ring, StoredReading
from aoii.core.store import NUMBER_SLOTS, SLOT_BYTES, CounterAllocator, RamStore
from flash import Flash, PowerCut
from stateful import model_settings

KEY = bytes(range(16))
SETTINGS = NodeSettings(50, 300, 60, 0, 0, 1)
BLOCK = 4
MARKS = {0x54: False, 0x4B: True}  # waiting, kept


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are reserved often, so that a power cut skips some in a short test."""
    monkeypatch.setattr(store, "BLOCK", BLOCK)


def reading(counter: int) -> StoredReading:
    return StoredReading(counter, -counter, counter, 2**32 - counter, counter % 32, 64 * counter)


def ring_of(flash: store.RamStore | Flash, epoch: int = 1) -> tuple[Ring, CounterAllocator]:
    numbers = CounterAllocator(flash, 7, epoch)
    return Ring(flash, epoch, numbers), numbers


def held(flash: Flash, epoch: int = 1) -> dict[int, bool]:
    """What lies in the flash, read without the code under test: whether it is kept, by counter."""
    found: dict[int, bool] = {}
    for slot in range(NUMBER_SLOTS, flash.slots):
        content = flash.read(slot)
        if content[0] in MARKS and content[20:24] == struct.pack("<I", crc32(content[:20])):
            of_epoch, counter = struct.unpack("<HI", content[1:7])
            if of_epoch == epoch:
                assert counter not in found
                found[counter] = MARKS[content[0]]
    return found


def expect(before: dict[int, bool], counter: int, is_kept: bool, room: int) -> dict[int, bool]:
    """The rule of the ring, said once more: what is held after one more reading."""
    after = before | {counter: is_kept}
    if counter in before or len(after) <= room:
        return after if counter not in before else before
    kept = [number for number, mark in after.items() if mark]
    goes = min(kept) if kept else min(after)
    return {number: mark for number, mark in after.items() if number != goes}


def test_the_last_readings_are_held_and_the_lowest_kept_one_goes_first() -> None:
    ring, numbers = ring_of(RamStore(NUMBER_SLOTS + 3))
    for counter in range(1, 4):
        ring.put(reading(counter))
    ring.keep(2)

    ring.put(reading(4))
    ring.put(reading(5), True)

    assert [ring.recall(target) for target in (9, 4, 3, 2)] == [reading(counter) for counter in (4, 4, 3, 1)]
    assert (ring.waiting, ring.dropped, numbers.floor) == (3, 0, 5)


def test_a_ring_of_waiting_readings_drops_the_oldest_and_counts_it() -> None:
    ring, numbers = ring_of(RamStore(NUMBER_SLOTS + 3))

    for counter in range(1, 6):
        ring.put(reading(counter))

    assert (ring.oldest(), ring.waiting, ring.dropped, numbers.floor) == (reading(3), 3, 2, 2)


def test_a_number_that_is_not_kept_because_all_others_wait_is_never_proven_void_even_after_a_power_cut() -> None:
    flash = Flash(NUMBER_SLOTS + 2)
    ring, numbers = ring_of(flash)
    counters = [numbers.next_counter() for _ in range(3)]
    for counter in counters[:2]:
        ring.put(reading(counter))
    ring.put(reading(counters[2]), True)  # an acknowledged heartbeat
    ring.keep(1)

    _, again = ring_of(flash)

    assert held(flash) == {1: True, 2: False}
    assert again.floor >= counters[2]


def test_a_store_without_room_for_readings_is_our_mistake() -> None:
    with pytest.raises(InternalError):
        ring_of(RamStore(NUMBER_SLOTS))


def test_readings_of_an_earlier_epoch_are_not_sent_under_the_new_one() -> None:
    flash = Flash(NUMBER_SLOTS + 2)
    ring_of(flash)[0].put(reading(1))
    ring_of(flash)[0].put(reading(2), True)

    ring, numbers = ring_of(flash, 2)

    assert (ring.oldest(), ring.recall(9), ring.waiting, numbers.floor) == (None, None, 0, 0)


def test_a_reading_that_the_flash_lost_is_counted_and_passed_over_and_its_number_is_not_proven() -> None:
    flash = Flash(NUMBER_SLOTS + 3)
    ring, numbers = ring_of(flash)
    for counter in (1, 2, 3):
        ring.put(reading(counter))
    flash.write(NUMBER_SLOTS, bytes(SLOT_BYTES))
    flash.write(NUMBER_SLOTS + 2, bytes(SLOT_BYTES))

    assert ring.recall(3) == ring.oldest() == reading(2)
    assert not ring.keep(1)
    assert (ring.waiting, ring.dropped, numbers.floor) == (1, 2, 3)


def test_marking_a_reading_as_kept_costs_one_write_and_doing_it_again_none() -> None:
    flash = Flash(NUMBER_SLOTS + 3)
    ring, _ = ring_of(flash)
    ring.put(reading(1))

    assert [ring.keep(1), ring.keep(1), ring.keep(2)] == [True, True, False]
    ring.put(reading(1), True)

    assert flash.writes == 2
    assert ring_of(flash)[0].recall(1) == reading(1)


def used_up_to(flash: Flash, counters: int) -> CounterAllocator:
    """A ring with so many acknowledged readings."""
    ring, numbers = ring_of(flash)
    for _ in range(counters):
        ring.put(reading(numbers.next_counter()), True)
    return numbers


@pytest.mark.parametrize(("counters", "floor"), [(2, 0), (3, 3), (9, 9)])
def test_what_a_power_cut_skips_stays_provable(counters: int, floor: int) -> None:
    flash = Flash(NUMBER_SLOTS + 3)
    used_up_to(flash, counters)

    _, numbers = ring_of(flash)

    assert (numbers.floor, numbers.first_counter) == (floor, -(-counters // BLOCK) * BLOCK + 1)


def torn(cut_after: int) -> Flash:
    """The third of four slots after a write that was cut."""
    flash = Flash(NUMBER_SLOTS + 4)
    numbers = used_up_to(flash, 2)
    flash.cut_at, flash.cut_after = flash.writes, cut_after
    with pytest.raises(PowerCut):
        Ring(flash, 1, numbers).put(reading(numbers.next_counter()), True)
    return flash


@pytest.mark.parametrize("cut_after", range(SLOT_BYTES + 1))
def test_after_a_torn_write_nothing_that_was_used_is_provable(cut_after: int) -> None:
    _, numbers = ring_of(torn(cut_after))

    assert numbers.floor == (0 if cut_after in (0, SLOT_BYTES) else BLOCK)


def test_the_floor_outlives_the_damage_that_raised_it() -> None:
    flash = torn(7)
    ring, numbers = ring_of(flash)
    ring.put(reading(numbers.next_counter()))  # into the damaged slot

    _, again = ring_of(flash)

    assert held(flash).keys() == {1, 2, BLOCK + 1}
    assert again.floor == BLOCK


def test_after_a_record_of_version_0_1_nothing_that_was_used_is_provable() -> None:
    flash = Flash(NUMBER_SLOTS + 9)
    numbers = used_up_to(flash, 2)
    for slot in range(NUMBER_SLOTS):
        flash.write(slot, flash.read(slot)[:17] + bytes(7))

    _, again = ring_of(flash)
    again.next_counter()
    _, third = ring_of(flash)

    assert numbers.floor == 0
    assert again.floor == third.floor == BLOCK


class Model(RuleBasedStateMachine):
    """A link on a flash that tears, and everything that the node has said and heard."""

    ROOM = 4

    def __init__(self) -> None:
        super().__init__()
        self._block, store.BLOCK = store.BLOCK, BLOCK
        self.flash = Flash(NUMBER_SLOTS + self.ROOM)
        self.now_ms = 0
        self.chance = random.Random(1)
        self.sent: list[Uplink] = []
        self.heard: set[int] = set()
        self.void: set[int] = set()
        self.held: dict[int, bool] = {}
        self.torn: dict[int, set[bool | None]] = {}
        self.link = self.new_link()

    def teardown(self) -> None:
        store.BLOCK = self._block

    def new_link(self) -> Link:
        return Link(7, 1, KEY, SETTINGS, self.flash, self.chance.random)

    @rule(kind=st.sampled_from((EVENT, HEARTBEAT)))
    def submit(self, kind: int) -> None:
        self.now_ms += 60_000
        counter = self.link._counters._counter
        after = expect(self.held, counter, False, self.ROOM) if kind == EVENT else self.held
        number = len(self.sent)
        self.survive(after, lambda: self.link.submit(kind, number, number, HOLD, 0, 0, self.now_ms, self.now_ms))
        self.due()

    @rule(kind=st.sampled_from((EVENT, HEARTBEAT)), again=st.integers(0, 9))
    def deliver(self, kind: int, again: int) -> None:
        """A packet that is acknowledged at once, and what was asked for."""
        self.submit(kind)
        if self.sent:
            self.acknowledge(0, again)
        if self.link.state == IDLE:
            self.due()  # recalls
            self.due()

    @rule()
    def due(self) -> None:
        deadline_ms = self.link.deadline_ms()
        if deadline_ms is not None:
            self.now_ms = max(self.now_ms, deadline_ms)
            self.survive(self.held, lambda: self.carry(self.link.due(self.now_ms)))

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 5), again=st.integers(0, 31))
    def acknowledge(self, which: int, again: int) -> None:
        """Any of the last frames, once more or for the first time."""
        uplink = self.sent[max(0, len(self.sent) - 1 - which)]
        link, counter = self.link, uplink.counter
        is_taken = (link.pending is not None and link.sent.include(uplink.frame)) or link.superseded.include(
            uplink.frame
        )
        after = self.held
        if is_taken and counter in self.held:
            after = self.held | {counter: True}
        elif is_taken and uplink.flags & HEARTBEAT and not self.is_kept_once(counter):
            after = expect(self.held, counter, True, self.ROOM)
        ack = frames.encode_ack(Ack(7, 1, uplink.frame, 1, 0, 0, None, again), KEY)
        self.now_ms += 300
        if self.survive(after, lambda: self.receive(ack)) and is_taken:
            self.heard.add(counter)

    def is_kept_once(self, counter: int) -> bool:
        """Whether a superseded heartbeat has been kept already: then its number may be forgotten by now."""
        return counter == self.link.superseded.counter and self.link.heartbeat is None

    @rule(write=st.integers(0, 2), after=st.sampled_from((0, 1, 3, 5, 7, 16, 18, 20, 22, 23, SLOT_BYTES)))
    def cut_a_later_write(self, write: int, after: int) -> None:
        self.flash.cut_at, self.flash.cut_after = self.flash.writes + write, after

    @rule()
    def power_goes(self) -> None:
        self.now_ms += 1000
        self.link = self.new_link()

    @rule()
    def sleep_deeply(self) -> None:
        state = self.link.dump()
        self.link = self.new_link()
        assert self.link.fits(state)
        assert self.link.load(state, 0) == len(state)

    def survive(self, after: dict[int, bool], act: "object") -> bool:
        """Do it; when the power goes, find out what the flash holds, and start again. Whether it was done."""
        assert callable(act)
        before = self.held
        try:
            act()
        except PowerCut:
            self.held = held(self.flash)
            for counter in before.keys() | after.keys() | self.held.keys():
                allowed = {before.get(counter), after.get(counter)}
                if len(allowed) > 1 or counter in self.torn:
                    allowed |= {None} | self.torn.get(counter, set())
                    self.torn[counter] = allowed  # one more tear may complete the old record again
                assert self.held.get(counter) in allowed
            self.link = self.new_link()
            return False
        self.held = after
        return True

    def receive(self, ack: bytes) -> None:
        assert not isinstance(self.link.receive(ack, self.now_ms), Rejected)

    def carry(self, sends: list[Send]) -> None:
        for send in sends:
            uplink = frames.decode_uplink(send.data, lambda node: KEY)
            assert isinstance(uplink, Uplink)
            self.sent.append(uplink)
            target = abs(uplink.answers)
            if target:
                left_out = range(uplink.counter + 1 if uplink.counter <= target else 1, target + 1)
                assert uplink.flags & BACKFILL
                assert not self.held.keys() & set(left_out), "it says that it does not hold what it holds"
                if uplink.answers > 0:
                    self.void |= set(left_out)

    @invariant()
    def the_flash_holds_what_the_rule_of_the_ring_says(self) -> None:
        assert held(self.flash) == self.held
        ring = self.link.ring
        known = {counter: bool(kept) for counter, kept in zip(ring._slots, ring._kept, strict=True) if counter}
        assert known == self.held
        assert ring.waiting == list(self.held.values()).count(False)

    @invariant()
    def no_number_that_was_heard_acknowledged_is_proven_void(self) -> None:
        assert not self.heard & self.void


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_a_long_walk_proves_nothing_void_that_was_heard(first: int) -> None:
    """Hypothesis shrinks, but seldom walks far: here are walks in which the ring is full most of the time."""
    voids = [len(walk(seed)) for seed in range(first, first + 100)]

    assert sum(voids) > 50, "it hardly proved anything"


def walk(seed: int) -> set[int]:
    """A random life; the numbers that the node proved void."""
    chance = random.Random(seed)
    model = Model()
    for _ in range(60):
        kind = chance.choice((EVENT, HEARTBEAT))
        step = chance.choices(range(6), (4, 3, 4, 2, 2, 1))[0]
        if step == 0:
            model.deliver(kind, chance.randrange(12))
        elif step == 1:
            model.submit(kind)
        elif step == 2 and model.sent:
            model.acknowledge(chance.randrange(3), chance.randrange(12))
        elif step == 3:
            model.due()
        elif step == 4:
            model.cut_a_later_write(chance.randrange(3), chance.randrange(SLOT_BYTES + 1))
        elif chance.random() < 0.5:
            model.sleep_deeply()
        else:
            model.power_goes()
        model.the_flash_holds_what_the_rule_of_the_ring_says()
        model.no_number_that_was_heard_acknowledged_is_proven_void()
    model.teardown()
    return model.void


TestModel = Model.TestCase
TestModel.settings = model_settings(60)


def test_the_model_meets_proofs_recalls_and_power_cuts() -> None:
    """A fixed walk through the model: what it proves is not empty."""
    model = Model()
    for _ in range(3):
        model.submit(EVENT)
        model.acknowledge(0, 0)
    model.power_goes()
    model.submit(EVENT)
    model.acknowledge(0, 1)
    model.due()

    assert model.link.state != IDLE
    assert (model.sent[-1].counter, model.sent[-1].answers, model.void) == (3, BLOCK, {BLOCK})
    model.teardown()
