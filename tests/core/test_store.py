"""What a node must not forget: every write of its flash is a place where the power may go."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core import frames, store
from aoii.core.errors import UnavailableError
from aoii.core.forecast import HOLD
from aoii.core.frames import NodeSettings, Uplink
from aoii.core.link import Link, Send
from aoii.core.link_timing import TIMING
from aoii.core.store import NUMBER_SLOTS, SLOT_BYTES, CounterAllocator, RamStore
from flash import Flash, PowerCut
from gateway_twin import GatewayTwin

KEY = bytes(range(16))
SETTINGS = NodeSettings(50, 300, 60, 0, 0, 1)
BLOCK = 8
ROOM = NUMBER_SLOTS + 200  # so that nothing has to make room


class Life:
    """A node that never forgets, because it is the test: what went out and what was stored, over all restarts."""

    def __init__(self, flash: Flash) -> None:
        self.flash = flash
        self.gateway = GatewayTwin(KEY, SETTINGS)
        self.sent: dict[int, bytes] = {}  # by frame number
        self.counters: dict[int, tuple[int, int]] = {}  # reading by event counter
        self.stored: set[int] = set()
        self._chance = random.Random(5)
        self._restarts = 0

    def live(self, start_ms: int, minutes: int, gateway_is_there: bool) -> None:
        """From power on until the end or until the power goes: a new event every other minute."""
        machine = Link(7, 1, KEY, SETTINGS, self.flash, self._chance.random)
        self._restarts += 1  # no two lives read the same: a number that came back would have another content
        for minute in range(minutes):
            now_ms = start_ms + minute * 60_000
            if minute % 2 == 0:
                reading = (2000 + minute, 5000 + self._restarts)
                machine.submit(frames.EVENT, *reading, HOLD, 0, 0, now_ms, now_ms)
                assert machine.pending is not None
                self.stored.add(machine.pending.counter)  # before it is sent for the first time
            while (deadline_ms := machine.deadline_ms()) is not None and deadline_ms < now_ms + 60_000:
                for send in machine.due(deadline_ms):
                    self._carry(machine, send, deadline_ms, gateway_is_there)

    def _carry(self, machine: Link, send: Send, now_ms: int, gateway_is_there: bool) -> None:
        uplink = frames.decode_uplink(send.data, lambda node: KEY)
        assert isinstance(uplink, Uplink)
        assert self.sent.setdefault(uplink.frame, send.data) == send.data
        reading = (uplink.temperature_c, uplink.humidity_c)
        assert self.counters.setdefault(uplink.counter, reading) == reading
        ack = self.gateway.accept(send.data, now_ms) if gateway_is_there else None
        if ack is not None:
            machine.receive(ack, now_ms + 500)


def whole_life(flash: Flash) -> Life:
    """An outage of an hour, with a restart in the middle of it and whenever the power goes, and then a good hour."""
    life = Life(flash)
    day_ms = 0
    for minutes, gateway_is_there in ((12, True), (30, False), (30, False), (12, True), (48, True)):
        try:
            life.live(day_ms, minutes, gateway_is_there)
        except PowerCut:
            life.live(day_ms + 30_000, minutes, gateway_is_there)
        day_ms += minutes * 60_000
    return life


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers are reserved often, so that the power is cut in every phase of it."""
    monkeypatch.setattr(store, "BLOCK", BLOCK)


def test_the_life_of_the_power_cut_test_writes_numbers_and_readings() -> None:
    life = whole_life(Flash(ROOM))

    assert life.flash.writes > 140
    assert len(life.stored) == 66
    assert life.stored <= life.gateway.readings.keys()


# Before everything, inside the first field that differs, inside the next and the check sum, and after everything.
@pytest.mark.parametrize("cut_after", [0, 6, 10, 15, SLOT_BYTES])
def test_a_power_cut_at_any_write_repeats_no_number_and_loses_no_stored_event(cut_after: int) -> None:
    for cut_at in range(whole_life(Flash(ROOM)).flash.writes):
        flash = Flash(ROOM)
        flash.cut_at, flash.cut_after = cut_at, cut_after

        life = whole_life(flash)

        assert flash.writes > cut_at
        assert life.stored <= life.gateway.readings.keys(), f"cut at write {cut_at}"


def test_numbers_begin_at_one_and_a_block_costs_one_write() -> None:
    flash = Flash(3)
    numbers = CounterAllocator(flash, 7, 1)

    used = [numbers.next_frame() for _ in range(BLOCK)]

    assert used == list(range(1, BLOCK + 1))
    assert flash.writes == 1


def test_numbers_begin_again_with_a_new_epoch_or_node() -> None:
    flash = Flash(3)
    for _ in range(3):
        CounterAllocator(flash, 7, 1).next_frame()

    assert CounterAllocator(flash, 7, 2).next_counter() == 1
    assert CounterAllocator(flash, 7, 2).next_counter() == 1 + BLOCK
    assert CounterAllocator(flash, 8, 2).next_counter() == 1


def test_when_both_number_records_are_damaged_the_node_does_not_start() -> None:
    flash = Flash(3)
    for _ in range(2):
        CounterAllocator(flash, 7, 1).next_frame()
    for slot in range(NUMBER_SLOTS):
        flash.write(slot, b"\x55")

    with pytest.raises(UnavailableError, match="epoch above 1"):
        CounterAllocator(flash, 7, 1)


@given(st.lists(st.binary(max_size=SLOT_BYTES), min_size=4, max_size=4))
def test_whatever_lies_in_the_flash_the_node_starts_or_says_why_not(slots: list[bytes]) -> None:
    flash = RamStore(4)
    for slot, content in enumerate(slots):
        flash.write(slot, content)

    try:
        machine = Link(7, 1, KEY, SETTINGS, flash, random.Random(1).random, TIMING)
    except UnavailableError:
        return

    assert machine.ring.waiting == 0
    assert store.MYPY is False
