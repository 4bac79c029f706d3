"""The node's end of the radio link: the table, and what it does on a wire that behaves badly."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.core import frames, link
from aoii.core.errors import InternalError
from aoii.core.forecast import HOLD, Trend
from aoii.core.frames import Ack, NodeSettings, Rejected, Uplink
from aoii.core.link import (
    ACK,
    BUSY,
    DUE,
    IDLE,
    READY,
    RULES,
    SPENT,
    STRAY,
    SUBMIT,
    WAITING,
    Link,
    Send,
)
from aoii.core.link_timing import MAX_BUSY_DOUBLINGS, TIMING
from aoii.core.store import NUMBER_SLOTS, RamStore
from state_diagrams import comments

KEY = bytes(range(16))
SETTINGS = NodeSettings(50, 300, 60, 0, 0, 1)
TREND = Trend(1, 2, 3, 4, 1)
FRESH_MS = 60 * link.FRESH_PERMILLE


def make(store: RamStore | None = None, **timing: int) -> Link:
    return Link(7, 1, KEY, SETTINGS, store or RamStore(), random.Random(3).random, TIMING._replace(**timing))


def say(machine: Link, now_ms: int, temperature_c: int = 2000, kind: int = frames.EVENT) -> list[Send]:
    machine.submit(kind, temperature_c, 5000, TREND, 0, 0, now_ms, now_ms)
    return machine.due(now_ms)


def read(send: Send) -> Uplink:
    uplink = frames.decode_uplink(send.data, lambda node: KEY)
    assert isinstance(uplink, Uplink)
    return uplink


def answer(send: Send, unix_s: int = 1_451_606_400, settings: NodeSettings | None = None) -> bytes:
    uplink = read(send)
    return frames.encode_ack(Ack(7, 1, uplink.frame, unix_s, 250, 3, settings, 0), KEY)


def next_sends(machine: Link) -> tuple[int, list[Send]]:
    """Let the timers run until something is sent."""
    while True:
        deadline_ms = machine.deadline_ms()
        assert deadline_ms is not None
        sends = machine.due(deadline_ms)
        if sends:
            return deadline_ms, sends


def test_every_state_and_event_is_in_the_table_or_cannot_be() -> None:
    missing = {
        (state, event)
        for state in (IDLE, READY, WAITING)
        for event in (SUBMIT, DUE, SPENT, BUSY, ACK, STRAY)
        if (state, event) not in RULES
    }

    assert missing == {(IDLE, SPENT), (IDLE, BUSY), (IDLE, ACK), (WAITING, SPENT), (WAITING, BUSY)}
    assert {action for _, action in RULES.values()} <= comments(link).keys()


def test_an_event_that_the_table_lacks_is_an_error_and_changes_nothing() -> None:
    machine = make()

    with pytest.raises(InternalError, match="ack while idle"):
        machine._move(ACK)

    assert machine.state == IDLE


def test_a_packet_is_sent_at_once_and_an_acknowledgement_acknowledges_it() -> None:
    machine = make()

    sends = say(machine, 0)
    acknowledged = machine.receive(answer(sends[0]), 500)

    assert [send.kind for send in sends] == ["event"]
    assert acknowledged is not None
    assert not isinstance(acknowledged, Rejected)
    assert (acknowledged.forecast.trend, machine.state, machine.offered) == (TREND, IDLE, None)
    assert machine.deadline_ms() is None


def test_a_silent_gateway_gets_the_same_bytes_again() -> None:
    machine = make()
    first = say(machine, 0)

    at_ms, again = next_sends(machine)

    assert again == [Send(first[0].data, "retry")]
    assert TIMING.ack_window_ms + TIMING.backoff_ms // 2 <= at_ms <= TIMING.ack_window_ms + TIMING.backoff_ms


def test_stale_bytes_become_a_new_frame_of_the_same_reading_with_its_true_age() -> None:
    machine = make()
    first = read(say(machine, 0)[0])
    sent = [next_sends(machine) for _ in range(6)]

    for at_ms, sends in sent:
        uplink = read(sends[0])
        assert sends[0].kind == "retry"
        assert uplink.counter == first.counter
        if at_ms <= FRESH_MS:
            assert (uplink.frame, uplink.age_s) == (first.frame, 0)
        else:
            assert uplink.frame > first.frame
            assert 0 <= at_ms - uplink.age_s * 1000 + 500 <= FRESH_MS + 500
    assert any(at_ms > FRESH_MS for at_ms, _ in sent)


def test_an_acknowledgement_of_any_frame_of_the_reading_acknowledges_it() -> None:
    machine = make()
    first = say(machine, 0)
    while read(next_sends(machine)[1][0]).frame == read(first[0]).frame:
        pass

    machine.receive(answer(first[0]), 10**6)

    assert machine.state == IDLE


def test_pauses_double_up_to_the_limit_with_jitter_below() -> None:
    machine = make(duty_permille=1000)
    say(machine, 0)
    times = [0] + [next_sends(machine)[0] for _ in range(14)]

    pauses = [after - before - TIMING.ack_window_ms for before, after in pairwise(times)]

    for number, pause_ms in enumerate(pauses):
        longest_ms = min(TIMING.backoff_limit_ms, TIMING.backoff_ms << number)
        assert longest_ms // 2 <= pause_ms <= longest_ms
    assert pauses[-1] >= TIMING.backoff_limit_ms // 2


def test_a_newer_reading_goes_at_once_and_the_older_one_follows_as_backfill() -> None:
    machine = make()
    old = read(say(machine, 0)[0])

    new = say(machine, 60_000, 2100)
    machine.receive(answer(new[0]), 60_500)
    at_ms, late = next_sends(machine)

    assert (new[0].kind, read(new[0]).counter) == ("event", old.counter + 1)
    assert late[0].kind == "backfill"
    uplink = read(late[0])
    assert (uplink.counter, uplink.temperature_c, uplink.kind) == (old.counter, old.temperature_c, "backfill")
    assert uplink.trend == HOLD
    assert uplink.frame > read(new[0]).frame
    assert uplink.age_s == round(at_ms / 1000)
    machine.receive(answer(late[0]), at_ms + 500)
    assert machine.ring.waiting == 0
    assert machine.deadline_ms() is None


def test_backlog_is_delivered_oldest_first() -> None:
    machine = make()
    for minute in range(4):
        newest = say(machine, minute * 60_000, 2000 + minute)
    machine.receive(answer(newest[0]), 180_500)

    delivered = []
    while machine.deadline_ms() is not None:
        at_ms, sends = next_sends(machine)
        delivered.append(read(sends[0]).temperature_c)
        machine.receive(answer(sends[0]), at_ms + 500)

    assert delivered == [2000, 2001, 2002]


def test_backfill_gives_way_to_a_newer_reading_and_comes_back() -> None:
    machine = make()
    say(machine, 0, 2000)
    machine.receive(answer(say(machine, 60_000, 2100)[0]), 60_500)
    next_sends(machine)

    event = say(machine, 120_000, 2200)
    machine.receive(answer(event[0]), 120_500)
    at_ms, again = next_sends(machine)

    assert event[0].kind == "event"
    assert (again[0].kind, read(again[0]).temperature_c) == ("backfill", 2000)
    assert at_ms - 120_500 <= TIMING.backlog_pause_ms


def test_a_superseded_heartbeat_has_nothing_to_deliver() -> None:
    machine = make()
    say(machine, 0, kind=frames.HEARTBEAT)

    event = say(machine, 60_000)

    oldest = machine.ring.oldest()
    assert oldest is not None
    assert (machine.ring.waiting, oldest.counter) == (1, read(event[0]).counter)


def test_a_late_acknowledgement_of_what_was_superseded_takes_it_out_of_the_backlog() -> None:
    machine = make()
    old = say(machine, 0)
    say(machine, 60_000)

    acknowledged = machine.receive(answer(old[0]), 60_100)

    assert acknowledged is None
    assert machine.ring.waiting == 1  # the one that waits
    assert machine.state == WAITING
    assert machine.clock.unix_ms(60_100) is None


def test_a_repeated_acknowledgement_is_ignored() -> None:
    machine = make()
    data = answer(say(machine, 0)[0])
    machine.receive(data, 500)

    assert machine.receive(data, 600) is None
    assert machine.state == IDLE


def test_an_acknowledgement_before_anything_was_sent_acknowledges_nothing() -> None:
    machine = make(airtime_ms=10**9)
    machine.submit(frames.EVENT, 2000, 5000, TREND, 0, 0, 0, 0)

    for frame in (0, 1):
        assert machine.receive(frames.encode_ack(Ack(7, 1, frame, 1, 0, 0, None, 0), KEY), 0) is None

    assert machine.state == READY


@given(st.binary(max_size=40))
def test_noise_is_counted_and_ignored(data: bytes) -> None:
    machine = make()
    say(machine, 0)

    assert isinstance(machine.receive(data, 100), Rejected)
    assert (machine.rejected, machine.state) == (1, WAITING)


def test_time_and_settings_come_with_the_acknowledgement() -> None:
    machine = make()
    other = NodeSettings(20, 100, 30, 600, 0, 1)

    machine.receive(answer(say(machine, 5000)[0], unix_s=1000, settings=other), 6000)

    assert machine.clock.unix_ms(7000) == 1_001_250
    assert (machine.settings, machine.generation, machine.last_ack_ms) == (other, 3, 6000)


def test_a_waiting_packet_keeps_the_settings_that_it_was_made_with() -> None:
    machine = make()
    machine.receive(answer(say(machine, 0)[0], settings=NodeSettings(20, 100, 60, 0, 0, 1)), 500)

    uplink = read(say(machine, 60_000)[0])

    assert uplink.generation == 3
    assert machine.offered is not None
    assert machine.offered.settings.beta_t_c == 20


def test_a_gateway_without_time_gives_none() -> None:
    machine = make()

    machine.receive(answer(say(machine, 0)[0], unix_s=0), 500)

    assert machine.clock.unix_ms(60_100) is None


def test_an_acknowledgement_that_was_held_back_does_not_set_the_clock() -> None:
    machine = make()
    sends = say(machine, 0)
    machine.due(TIMING.ack_window_ms)

    machine.receive(answer(sends[0]), TIMING.ack_window_ms + 100)

    assert (machine.state, machine.clock.unix_ms(5000)) == (IDLE, None)


def test_backlog_from_before_a_restart_keeps_its_time_when_the_node_had_one() -> None:
    store = RamStore()
    machine = make(store)
    machine.receive(answer(say(machine, 0)[0], unix_s=10_000), 250)
    say(machine, 60_000, 2100)
    say(machine, 120_000, 2200)  # 2100 is set aside; then the power goes
    machine = make(store)
    machine.receive(answer(say(machine, 0, 2300)[0], unix_s=20_000), 250)

    at_ms, sends = next_sends(machine)

    sampled_unix_s = 20_000 + at_ms / 1000 - read(sends[0]).age_s
    assert read(sends[0]).temperature_c == 2100
    assert abs(sampled_unix_s - 10_060) <= 1


def test_backlog_of_unknown_time_has_the_largest_age() -> None:
    store = RamStore()
    machine = make(store)
    say(machine, 0, 2100)
    say(machine, 60_000, 2200)
    machine = make(store)
    machine.receive(answer(say(machine, 0, 2300)[0]), 250)

    _, sends = next_sends(machine)

    assert read(sends[0]).age_s == frames.AGE_LIMIT_S


def test_backlog_of_the_node_waits_for_the_first_contact() -> None:
    store = RamStore()
    machine = make(store)
    say(machine, 0)
    say(machine, 60_000)

    assert make(store).deadline_ms() is None


def test_when_the_flash_lost_the_backlog_the_link_rests() -> None:
    store = RamStore()
    machine = make(store)
    say(machine, 0)
    machine.receive(answer(say(machine, 60_000)[0]), 60_500)
    store.write(NUMBER_SLOTS, b"")

    sends = machine.due(10**6)

    assert (sends, machine.state, machine.deadline_ms(), machine.ring.dropped) == ([], IDLE, None, 1)


def test_the_duty_cycle_defers_a_packet_and_a_newer_one_takes_its_place() -> None:
    machine = make(airtime_ms=18_000)
    assert say(machine, 0) != []  # half an hour's allowance at 1 % is 18 s: all of it

    assert say(machine, 60_000, 2100) == []
    assert machine.state == READY
    at_ms, sends = next_sends(machine)

    assert at_ms == 3_600_000
    assert read(sends[0]).temperature_c == 2100


def test_in_the_long_run_a_node_that_is_without_answer_stays_within_its_share_of_the_air() -> None:
    machine = make(airtime_ms=1810)  # SF12
    sent_ms: list[int] = []
    for minute in range(24 * 60):  # a new event every minute for a day: the most that a node can want to say
        say_ms = minute * 60_000
        sent_ms += [say_ms] * len(say(machine, say_ms, 2000 + minute % 2 * 100))
        while (deadline_ms := machine.deadline_ms()) is not None and deadline_ms < say_ms + 60_000:
            sent_ms += [deadline_ms] * len(machine.due(deadline_ms))

    for first, start_ms in enumerate(sent_ms):
        within = sum(at_ms < start_ms + 3_600_000 for at_ms in sent_ms[first:])
        assert within * 1810 <= 36_000
    assert len(sent_ms) * 1810 > 0.95 * 24 * 18_000  # in the long run it uses the half that comes in through the hour


def listening(channel: list[bool]) -> Link:
    """A link that must listen first; it finds the channel busy as told, then free."""
    timing = TIMING._replace(listens=True, duty_permille=1000)
    return Link(
        7, 1, KEY, SETTINGS, RamStore(), random.Random(3).random, timing, lambda: channel.pop(0) if channel else False
    )


def test_on_a_busy_channel_the_node_waits_longer_each_time_up_to_a_limit_and_sends_only_when_it_is_free() -> None:
    channel = [True] * 9
    machine = listening(channel)
    assert say(machine, 0) == []

    times = [0]
    while not (sends := machine.due(times[-1])):
        deadline_ms = machine.deadline_ms()
        assert deadline_ms is not None
        times.append(deadline_ms)

    pauses = [after - before for before, after in pairwise(times)]
    assert (len(pauses), len(sends), channel) == (9, 1, [])
    for number, pause_ms in enumerate(pauses):
        longest_ms = TIMING.airtime_ms << min(number, MAX_BUSY_DOUBLINGS)
        assert longest_ms // 2 < pause_ms <= longest_ms + 1
    assert len(set(pauses[5:])) == 4  # two nodes that wait do not stay in step


def test_a_free_channel_is_listened_to_before_every_packet_and_ends_the_deferral() -> None:
    channel = [True, True, True, False, True]
    machine = listening(channel)
    say(machine, 0)
    at_ms, first = next_sends(machine)
    machine.receive(answer(first[0]), at_ms + 500)

    assert say(machine, 60_000, 2100) == []
    deadline_ms = machine.deadline_ms()

    assert channel == []
    assert deadline_ms is not None
    assert deadline_ms - 60_000 <= TIMING.airtime_ms + 1  # the first pause again
    assert machine.due(deadline_ms) != []


def test_a_region_that_listens_needs_a_radio_that_can() -> None:
    with pytest.raises(InternalError, match="listen"):
        Link(7, 1, KEY, SETTINGS, RamStore(), random.Random(3).random, TIMING._replace(listens=True))


def beating(heartbeat_s: int, heartbeat_min_s: int) -> Link:
    told = SETTINGS._replace(heartbeat_s=heartbeat_s, heartbeat_min_s=heartbeat_min_s)
    return Link(7, 1, KEY, told, RamStore(), random.Random(3).random)


def test_the_heartbeat_doubles_with_each_packet_that_needed_no_resend_and_halves_with_each_that_did() -> None:
    machine = beating(3600, 600)
    now_ms, beats = 0, [machine.heartbeat_s]
    for lost in (False, False, False, False, True, True, False, True, True, True, True, False):
        sends, now_ms = say(machine, now_ms), now_ms + 500
        if lost:
            now_ms, sends = next_sends(machine)
        machine.receive(answer(sends[0]), now_ms + 500)
        beats.append(machine.heartbeat_s)
        now_ms += 3_600_000

    assert beats == [600, 1200, 2400, 3600, 3600, 2400, 1200, 2400, 1200, 600, 600, 600, 1200]


@pytest.mark.parametrize(("longest_s", "shortest_s", "expected_s"), [(900, 0, 900), (0, 600, 0), (300, 600, 300)])
def test_without_a_shorter_heartbeat_it_is_always_the_same(longest_s: int, shortest_s: int, expected_s: int) -> None:
    machine = beating(longest_s, shortest_s)

    machine.receive(answer(say(machine, 0)[0]), 500)

    assert machine.heartbeat_s == expected_s


def test_new_settings_begin_with_the_shortest_heartbeat() -> None:
    machine = beating(3600, 600)
    machine.receive(answer(say(machine, 0)[0]), 500)

    machine.receive(
        answer(say(machine, 60_000)[0], settings=SETTINGS._replace(heartbeat_s=7200, heartbeat_min_s=60)), 60_500
    )

    assert machine.heartbeat_s == 60


def test_an_event_that_was_never_acknowledged_outlives_the_power_with_its_time() -> None:
    store = RamStore()
    machine = make(store)
    machine.receive(answer(say(machine, 0)[0], unix_s=10_000), 250)
    lost = read(say(machine, 60_000, 2100)[0])

    machine = make(store)
    machine.receive(answer(say(machine, 0, 2300)[0], unix_s=20_000), 250)
    at_ms, sends = next_sends(machine)

    uplink = read(sends[0])
    assert (uplink.kind, uplink.counter, uplink.temperature_c) == ("backfill", lost.counter, 2100)
    assert abs(20_000 + at_ms / 1000 - uplink.age_s - 10_060) <= 1
    machine.receive(answer(sends[0]), at_ms + 500)
    assert make(store).ring.waiting == 0


def test_a_flash_that_fails_while_an_event_is_cleared_leaves_it_to_be_acknowledged_again() -> None:
    class Failing(RamStore):
        fails = False

        def write(self, slot: int, record: bytes) -> None:
            if self.fails:
                raise OSError
            super().write(slot, record)

    store = Failing()
    machine = make(store)
    sends = say(machine, 0)
    store.fails = True
    with pytest.raises(OSError):  # noqa: PT011 - the driver's own
        machine.receive(answer(sends[0]), 300)
    store.fails = False

    assert machine.state == WAITING
    machine.receive(answer(sends[0]), 600)
    assert (machine.state, machine.ring.waiting) == (IDLE, 0)


def test_a_failing_flash_stops_the_packet_and_the_link_tries_again() -> None:
    class Broken(RamStore):
        broken = False

        def write(self, slot: int, record: bytes) -> None:
            if self.broken:
                raise OSError
            super().write(slot, record)

    store = Broken()
    machine = make(store)
    store.broken = True
    with pytest.raises(OSError):  # noqa: PT011 - the driver's own
        say(machine, 0)

    store.broken = False

    assert len(say(machine, 1000)) == 1


def acked(uplink: Uplink, again: int = 0) -> bytes:
    return frames.encode_ack(Ack(7, 1, uplink.frame, 1, 0, 0, None, again), KEY)


def deliver(machine: Link, now_ms: int, kind: int = frames.EVENT, again: int = 0) -> int:
    """Submit a reading that is acknowledged at once, and perhaps asks for another; its number."""
    uplink = read(say(machine, now_ms, 2000 + now_ms // 60_000, kind=kind)[0])
    machine.receive(acked(uplink, again), now_ms + 300)
    return uplink.counter


def recalled(machine: Link, again: int = 0) -> Uplink:
    """What goes out next; it is acknowledged."""
    at_ms, sends = next_sends(machine)
    uplink = read(sends[0])
    machine.receive(acked(uplink, again), at_ms + 300)
    return uplink


@pytest.mark.parametrize("kind", [frames.EVENT, frames.HEARTBEAT])
def test_an_acknowledged_reading_is_sent_again_when_it_is_asked_for(kind: int) -> None:
    machine = make()
    for minute in range(4):
        deliver(machine, 60_000 * minute, kind, again=2 if minute == 3 else 0)

    uplink = recalled(machine)

    assert (uplink.kind, uplink.counter, uplink.temperature_c, uplink.answers) == ("backfill", 2, 2001, 2)
    assert abs(uplink.age_s - 120) <= 10
    assert (machine.state, machine.deadline_ms(), machine.ring.waiting) == (IDLE, None, 0)


def test_a_question_is_answered_before_the_backlog_and_the_next_one_may_come_with_its_acknowledgement() -> None:
    machine = make()
    for minute in range(5):
        deliver(machine, 60_000 * minute)
    say(machine, 300_000)  # 6, superseded
    deliver(machine, 360_000, again=3)

    found = [recalled(machine, 2), recalled(machine), recalled(machine)]

    assert [(uplink.counter, uplink.answers) for uplink in found] == [(4, 4), (2, 2), (6, 0)]


def test_what_is_not_held_is_proven_void_unless_it_may_have_been_forgotten() -> None:
    machine = Link(7, 1, KEY, SETTINGS, RamStore(NUMBER_SLOTS + 3), random.Random(3).random)
    deliver(machine, 0)
    say(machine, 60_000, kind=frames.HEARTBEAT)  # 2, superseded and never acknowledged
    deliver(machine, 120_000, again=1)
    void = recalled(machine)
    for minute in range(3, 7):
        deliver(machine, 60_000 * minute, again=2 if minute == 3 else 5)  # 4 asks for 2, the last for 2 as well
    oldest = recalled(machine)

    assert (void.counter, void.answers) == (1, 2)
    assert (oldest.counter, oldest.answers) == (5, -2)


@pytest.mark.parametrize("again", [0, 31])
def test_zero_and_the_reserved_value_ask_for_nothing(again: int) -> None:
    machine = make()
    for minute in range(40):
        deliver(machine, 60_000 * minute, again=again)

    assert (machine.target, machine.deadline_ms()) == (0, None)


def test_a_number_below_one_is_not_looked_for() -> None:
    machine = make()

    deliver(machine, 0, again=1)

    assert machine.target == 0


def test_a_question_waits_while_something_newer_is_pending_and_is_kept_through_a_sleep() -> None:
    store = RamStore()
    machine = make(store)
    deliver(machine, 0)
    deliver(machine, 60_000, again=1)
    next_sends(machine)  # the answer, which nobody hears
    newer = read(say(machine, 120_000)[0])
    state = machine.dump()

    woken = make(store)
    woken.load(state, 0)
    woken.receive(acked(newer), 120_300)

    assert (recalled(woken).answers, woken.target) == (1, 0)


def test_no_more_than_a_days_recalls_are_sent_and_the_next_day_has_new_ones() -> None:
    machine = make(duty_permille=1000)
    deliver(machine, 0)
    deliver(machine, 60_000, again=1)
    answered = 0
    while machine.target:
        answered += 1
        at_ms, sends = next_sends(machine)
        machine.receive(acked(read(sends[0])), at_ms + 300)
        deliver(machine, at_ms + 1000, again=1)

    deliver(machine, 86_400_000, again=1)

    assert answered == link.RECALLS_A_DAY
    assert machine.target != 0


def test_a_late_acknowledgement_of_a_superseded_heartbeat_keeps_its_reading() -> None:
    store = RamStore()
    machine = make(store)
    heartbeat = read(say(machine, 0, 2345, kind=frames.HEARTBEAT)[0])
    event = read(say(machine, 60_000)[0])
    state = machine.dump()
    woken = make(store)
    woken.load(state, 0)

    woken.receive(acked(heartbeat), 60_100)
    woken.receive(acked(event, 1), 60_300)
    uplink = recalled(woken)

    assert (uplink.counter, uplink.temperature_c, uplink.answers) == (heartbeat.counter, 2345, 1)


def test_a_late_acknowledgement_of_what_was_proven_void_is_not_taken() -> None:
    machine = make()
    deliver(machine, 0)
    heartbeat = read(say(machine, 60_000, kind=frames.HEARTBEAT)[0])
    deliver(machine, 120_000, again=1)
    void = recalled(machine)

    machine.receive(acked(heartbeat), 200_000)
    deliver(machine, 240_000, again=2)

    assert void.answers == recalled(machine).answers == heartbeat.counter


def test_a_flash_that_fails_while_a_heartbeat_is_kept_leaves_it_to_be_acknowledged_again() -> None:
    class Failing(RamStore):
        fails = False

        def write(self, slot: int, record: bytes) -> None:
            if self.fails:
                raise OSError
            super().write(slot, record)

    store = Failing()
    machine = make(store)
    uplink = read(say(machine, 0, kind=frames.HEARTBEAT)[0])
    store.fails = True
    with pytest.raises(OSError):  # noqa: PT011 - the driver's own
        machine.receive(acked(uplink), 300)
    store.fails = False

    assert machine.state == WAITING
    machine.receive(acked(uplink), 600)
    assert make(store).ring.recall(1) is not None
