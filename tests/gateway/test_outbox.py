"""The outbox policy: order, window, deadlines, and a model in which nothing accepted is ever forgotten."""

import random
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aoii.broker.messages import Identity
from aoii.gateway.outbox import (
    BACKLOG_PATIENCE_MS,
    FIRST_DEADLINE_MS,
    HOLD_MS,
    LAST_DEADLINE_MS,
    LAST_HOLD_MS,
    SILENCE_MS,
    Fetch,
    Fetched,
    Outbox,
)
from aoii.gateway.readings import Item
from stateful import model_settings

WINDOW = 4


def who(counter: int) -> Identity:
    return Identity("7", 1, counter)


def item(seq: int, qos: int = 1) -> Item:
    return Item(seq, who(seq), qos, b"payload", 0)


def items(*seqs: int) -> list[Item]:
    return [item(seq) for seq in seqs]


def seqs(found: list[Item]) -> list[int]:
    return [one.seq for one in found]


def online(window: int = WINDOW) -> Outbox:
    outbox = Outbox(lambda: 1.0, window)
    outbox.connected(0)
    return outbox


def test_nothing_is_due_before_the_broker_is_there() -> None:
    outbox = Outbox(lambda: 1.0)
    outbox.add(item(1))

    assert outbox.take_due(0) == []
    assert outbox.next_fetch() is None
    assert outbox.deadline_ms() is None
    outbox.connected(0)
    assert seqs(outbox.take_due(0)) == [1]


def test_a_live_reading_goes_first_and_then_in_turn_with_the_backlog() -> None:
    outbox = online(window=6)
    assert outbox.next_fetch() == Fetch(0, 6)
    outbox.add_fetched(Fetched(items(1, 2, 3), 3, is_all=True))
    for seq in (10, 11):
        outbox.add(item(seq))

    assert seqs(outbox.take_due(0)) == [11, 1, 10, 2, 3]


def test_no_more_than_the_window_is_in_flight_until_something_is_acknowledged() -> None:
    outbox = online()
    outbox.add(item(1))
    assert len(outbox.take_due(0)) == 1
    for seq in range(2, 6):
        outbox.add(item(seq))

    assert len(outbox.take_due(0)) == WINDOW - 1
    assert outbox.take_due(1) == []
    outbox.acknowledge([who(1), who(99)], 2)
    assert seqs(outbox.take_due(2)) == [2]


def test_a_reading_without_its_commit_acknowledgement_is_published_again_ever_more_seldom() -> None:
    outbox = online()
    outbox.add(item(1))
    published: list[int] = []

    for now_ms in range(0, 3_000_000, 1000):
        if outbox.take_due(now_ms):
            published.append(now_ms)
        outbox.acknowledge([who(99)], now_ms)  # other readings are acknowledged all the time

    gaps = [after - before for before, after in pairwise(published)]
    assert gaps[:7] == [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000]
    assert set(gaps[7:]) == {LAST_DEADLINE_MS}


def published_until(outbox: Outbox, end_ms: int, every_ms: int, start_ms: int = 0) -> list[tuple[int, int, int]]:
    """A new reading each `every_ms`; time, number and QoS of all that is published, with no acknowledgement."""
    published = []
    for now_ms in range(start_ms, end_ms, 1000):
        if now_ms % every_ms == 0:
            outbox.add(item(1 + now_ms // every_ms, qos=0))
        published += [(now_ms, one.seq, one.qos) for one in outbox.take_due(now_ms)]
    return published


def test_a_consumer_that_never_acknowledges_is_not_flooded() -> None:
    outbox = online(window=500)

    published = published_until(outbox, 3_600_000, every_ms=30_000)

    again = len(published) - 120  # a reading each 30 s for an hour
    assert again <= 25
    assert max(sum(seq == one for _, seq, _ in published) for one in range(1, 121)) <= 4


def test_in_silence_one_reading_asks_ever_more_seldom_at_qos_1() -> None:
    outbox = online(window=500)

    published = published_until(outbox, 1_500_000, every_ms=2_000_000)

    assert published == [(0, 1, 0), (5_000, 1, 1), (26_000, 1, 1), (106_000, 1, 1), (406_000, 1, 1), (706_000, 1, 1),
                         (1_006_000, 1, 1), (1_306_000, 1, 1)]  # fmt: skip


def test_in_silence_a_reading_asks_every_few_seconds_while_nobody_subscribes() -> None:
    outbox = online(window=2)
    asked: list[int] = []
    for seq in (1, 2):
        outbox.add(item(seq, qos=0))  # the window is full
    for now_ms in range(0, 600_000, 1000):
        if outbox.take_due(now_ms):
            asked.append(now_ms)
            outbox.unheard(now_ms)

    in_silence = [now_ms for now_ms in asked if now_ms > 2 * SILENCE_MS]
    assert {later - now for now, later in pairwise(in_silence)} == {FIRST_DEADLINE_MS}


def test_in_silence_a_full_window_still_asks_and_each_reading_in_its_turn() -> None:
    outbox = online(window=2)
    outbox.add(item(2))

    published = published_until(outbox, 1_500_000, every_ms=2_000_000)

    assert {seq for now_ms, seq, _ in published if now_ms > SILENCE_MS} == {1, 2}


def test_in_silence_and_with_a_full_window_each_new_reading_is_published_once_and_no_broker_keeps_it() -> None:
    outbox = online(window=20)

    published = published_until(outbox, 3_600_000, every_ms=1_000)

    in_silence = [(seq, qos) for now_ms, seq, qos in published if now_ms > 2 * SILENCE_MS]
    new = Counter(seq for seq, qos in in_silence if qos == 0)
    assert set(range(30, 3_590)) <= set(new)
    assert max(new.values()) == 1
    assert len(in_silence) - len(new) <= 15, "questions"


def test_in_silence_readings_that_come_all_the_time_keep_none_from_asking_at_qos_1() -> None:
    outbox = online(window=20)

    published = published_until(outbox, 3_600_000, every_ms=1_000)

    asked = [now_ms for now_ms, _, qos in published if qos == 1 and now_ms > 2 * SILENCE_MS]
    assert max(later - now for now, later in pairwise(asked)) <= LAST_DEADLINE_MS + 1_000


def test_in_silence_a_reading_that_the_broker_does_not_take_has_another_one_ask() -> None:
    outbox = online(window=500)
    published_until(outbox, 1_000_000, every_ms=2_000_000)
    outbox.add(item(2))

    assert seqs(outbox.take_due(1_000_000)) == [2]
    outbox.hold(who(2), 1_000_000)

    assert seqs(outbox.take_due(1_000_000)) == [1]
    assert outbox.take_due(1_001_000) == []


def test_any_commit_acknowledgement_ends_the_silence_and_brings_all_readings_forward() -> None:
    outbox = online(window=500)
    published_until(outbox, 1_000_000, every_ms=100_000)
    assert outbox.silent_ms(1_000_000) == 1_000_000

    outbox.acknowledge([who(99)], 1_000_000)

    assert outbox.silent_ms(1_000_000) == 0
    assert sorted(seqs(outbox.take_due(1_000_000 + FIRST_DEADLINE_MS))) == list(range(1, 11))


def test_a_reconnect_in_silence_makes_one_reading_ask_soon_and_not_all() -> None:
    outbox = online(window=500)
    published_until(outbox, 1_000_000, every_ms=100_000)
    outbox.disconnected()

    outbox.connected(1_000_000)

    assert len(outbox.take_due(1_000_000 + FIRST_DEADLINE_MS)) == 1
    assert outbox.take_due(1_000_000 + 2 * FIRST_DEADLINE_MS - 1) == []


def test_a_reading_that_the_broker_does_not_take_makes_room_and_is_tried_again_later() -> None:
    outbox = online(window=2)
    for seq in (1, 2):
        outbox.add(item(seq))
    assert sorted(seqs(outbox.take_due(0))) == [1, 2]
    outbox.hold(who(1), 0)
    outbox.hold(who(2), 0)
    outbox.add(item(3))

    assert seqs(outbox.take_due(0)) == [3]
    assert outbox.held == 2
    outbox.acknowledge([who(3)], 0)
    assert outbox.next_fetch() == Fetch(0, 2)  # never read so far
    outbox.add_fetched(Fetched([], 3, is_all=True))
    outbox.take_due(0)
    assert outbox.take_due(HOLD_MS - 1) == []
    assert outbox.held == 2
    outbox.take_due(HOLD_MS)
    assert outbox.held == 0
    assert outbox.next_fetch() == Fetch(0, 2)


def test_a_reconnect_tries_what_the_last_connection_did_not_take() -> None:
    outbox = online(window=2)
    outbox.add(item(1))
    outbox.take_due(0)
    outbox.hold(who(1), 0)
    outbox.next_fetch()
    outbox.add_fetched(Fetched([], 1, is_all=True))

    outbox.connected(1)
    outbox.take_due(1)

    assert outbox.held == 0
    assert outbox.next_fetch() == Fetch(0, 2)


def live(outbox: Outbox, seq: int, now_ms: int) -> list[Item]:
    """A reading of a node whose readings are acknowledged at once; all that is published with it."""
    outbox.add(item(seq))
    published = outbox.take_due(now_ms)
    if seq in seqs(published):
        outbox.acknowledge([who(seq)], now_ms)
    return published


def test_some_of_the_window_is_for_live_readings_alone() -> None:
    outbox = online(window=20)
    outbox.next_fetch()
    outbox.add_fetched(Fetched(items(*range(1, 31)), 30, is_all=True))
    assert len(outbox.take_due(0)) == 18
    outbox.add(item(100))

    assert seqs(outbox.take_due(1)) == [100]


def test_live_readings_that_fill_the_window_leave_the_backlog_its_turn() -> None:
    outbox = online()
    for seq in range(11, 11 + WINDOW):
        outbox.add(item(seq))
    in_flight = seqs(outbox.take_due(0))
    assert outbox.next_fetch() == Fetch(0, WINDOW)
    outbox.add_fetched(Fetched(items(1, 2), 2, is_all=True))

    published = []
    for seq in range(20, 24):  # as many new ones as there are acknowledgements
        outbox.add(item(seq))
        outbox.acknowledge([who(in_flight.pop(0))], seq)
        published += seqs(outbox.take_due(seq))
        in_flight.append(published[-1])

    assert {1, 2} <= set(published)


def test_readings_that_nobody_acknowledges_keep_no_live_one_from_being_published_at_once() -> None:
    outbox = online(window=20)
    for seq in range(1, 21):
        outbox.add(item(seq))
    assert len(outbox.take_due(0)) == 20

    for now_ms in range(10_000, 2_000_000, 10_000):
        assert now_ms in seqs(live(outbox, now_ms, now_ms))


def test_an_acknowledgement_among_readings_that_get_none_does_not_publish_all_of_them_every_time() -> None:
    outbox = online(window=500)
    for seq in range(1, 401):
        outbox.add(item(seq))
    published = len(outbox.take_due(0))

    for now_ms in range(1_000, 3_600_000, 1_000):
        published += len(live(outbox, now_ms, now_ms) if now_ms % 30_000 == 0 else outbox.take_due(now_ms))

    assert published - 120 <= 400 * (8 + 3_600_000 // LAST_DEADLINE_MS)


class Gateway:
    """The policy with its file, whose first readings nobody acknowledges; the server commits others as they come."""

    def __init__(self, deaf: int, count: int, window: int = 20) -> None:
        self.outbox = online(window)
        self.file = dict.fromkeys(range(1, count + 1))
        self.deaf = range(1, deaf + 1)
        self.published: Counter[int] = Counter()

    def publish(self, now_ms: int) -> list[int]:
        """Fetch what is wanted, and publish what is due."""
        fetch = self.outbox.next_fetch()
        if fetch is not None:
            part = [seq for seq in self.file if seq > fetch.after][: fetch.limit]
            last = part[-1] if part else fetch.after
            self.outbox.add_fetched(Fetched(items(*part), last, is_all=len(part) < fetch.limit))
        published = seqs(self.outbox.take_due(now_ms))
        self.published.update(published)
        return published

    def acknowledge(self, published: list[int], now_ms: int) -> None:
        """The server acknowledges what it does not pass over."""
        heard = [seq for seq in published if seq not in self.deaf]
        for seq in heard:
            self.file.pop(seq, None)
        if heard:
            self.outbox.acknowledge([who(seq) for seq in heard], now_ms)

    def run(self, start_ms: int, end_ms: int, live_every_ms: int | None = None) -> None:
        """Let time pass; a live reading comes each `live_every_ms`."""
        for now_ms in range(start_ms, end_ms, 1_000):
            if live_every_ms is not None and now_ms % live_every_ms == 0:
                self.file[1_000_000 + now_ms] = None
                self.outbox.add(item(1_000_000 + now_ms))
            self.acknowledge(self.publish(now_ms), now_ms)


def test_a_backlog_behind_readings_that_nobody_acknowledges_is_published_and_they_are_tried_again() -> None:
    gateway = Gateway(deaf=60, count=100)

    gateway.run(0, 600_000, live_every_ms=30_000)
    before = gateway.published.copy()
    gateway.run(600_000, 1_200_000, live_every_ms=30_000)

    assert list(gateway.file) == list(gateway.deaf)
    assert set(gateway.published - before) >= set(gateway.deaf)


def test_a_backlog_behind_readings_that_nobody_acknowledges_is_published_though_no_node_sends() -> None:
    gateway = Gateway(deaf=20, count=100)

    gateway.run(0, 3_600_000)

    assert list(gateway.file) == list(gateway.deaf)


def test_readings_that_nobody_acknowledges_are_tried_again_ever_more_seldom() -> None:
    gateway = Gateway(deaf=500, count=500)

    gateway.run(0, 8 * 3_600_000, live_every_ms=1_000)
    before = gateway.published.copy()
    gateway.run(8 * 3_600_000, 10 * 3_600_000, live_every_ms=1_000)

    last = gateway.published - before
    assert min(last[seq] for seq in gateway.deaf) >= 1
    assert sum(last[seq] for seq in gateway.deaf) <= 2 * 4 * 500, "four an hour of each"


def test_readings_whose_acknowledgements_were_lost_are_tried_again_soon() -> None:
    gateway = Gateway(deaf=0, count=1_000)
    chance = random.Random(1)

    for now_ms in range(0, 1_680_000, 1_000):
        gateway.acknowledge([seq for seq in gateway.publish(now_ms) if chance.random() < 0.4], now_ms)

    assert not gateway.file


def test_a_connection_that_is_lost_often_keeps_no_backlog_from_its_turn() -> None:
    gateway = Gateway(deaf=500, count=600)
    for start_ms in range(0, 1_200_000, 30_000):
        gateway.outbox.disconnected()
        gateway.outbox.connected(start_ms)
        gateway.run(start_ms, start_ms + 30_000, live_every_ms=1_000)

    assert set(gateway.file) == set(gateway.deaf)


def test_a_slow_server_gets_no_more_of_the_backlog_than_the_window() -> None:
    gateway = Gateway(deaf=0, count=2_000, window=100)
    queue: list[int] = []

    for now_ms in range(0, 1_800_000, 1_000):
        queue += gateway.publish(now_ms)
        gateway.acknowledge(queue[:2], now_ms)
        del queue[:2]

    assert len(gateway.published) - (2_000 - len(gateway.file)) <= 100
    assert len(queue) <= 1_000


@pytest.mark.parametrize("outage_ms", [5_200, 5_600, 6_000, 8_000, 10_000, 30_000, 120_000])
@pytest.mark.parametrize("every_ms", [300, 1_000])
def test_after_an_outage_everything_that_it_swallowed_is_published_again_soon(outage_ms: int, every_ms: int) -> None:
    gateway = Gateway(deaf=0, count=0, window=20)
    end_ms = 2_000 + outage_ms

    for now_ms in range(0, end_ms + 30_000, 100):
        if now_ms % (every_ms if now_ms < end_ms else 2_000) == 0:
            gateway.file[1 + now_ms] = None
            gateway.outbox.add(item(1 + now_ms))
        published = gateway.publish(now_ms)
        if not 2_000 <= now_ms < end_ms:
            gateway.acknowledge(published, now_ms)

    assert not gateway.file


@pytest.mark.parametrize("count", [19, 21, 40])
def test_among_readings_that_nobody_acknowledges_one_whose_publishes_were_lost_comes_through(count: int) -> None:
    gateway = Gateway(deaf=0, count=count)
    lost = iter(range(2))

    for now_ms in range(0, 24 * 3_600_000, 1_000):
        published = gateway.publish(now_ms)
        if 1 in published and next(lost, None) is None:
            gateway.acknowledge([1], now_ms)

    assert 1 not in gateway.file


def test_deadlines_are_spread() -> None:
    chance = random.Random(1)
    outbox = Outbox(chance.random, 100)
    outbox.connected(0)
    for seq in range(1, 101):
        outbox.add(item(seq))
    outbox.take_due(0)

    again = [now_ms for now_ms in range(0, FIRST_DEADLINE_MS + 1, 50) for _ in outbox.take_due(now_ms)]

    assert len(again) == 100
    assert 0.75 * FIRST_DEADLINE_MS <= min(again) < max(again) <= FIRST_DEADLINE_MS + 50
    assert len(set(again)) > 10


def test_after_a_reconnect_what_was_in_flight_does_not_sit_out_its_old_deadline() -> None:
    outbox = online()
    outbox.add(item(1))
    for now_ms in (0, 5_000, 15_000, 35_000):
        outbox.take_due(now_ms)
    outbox.disconnected()

    assert outbox.take_due(10**9) == []
    outbox.connected(40_000)
    assert outbox.take_due(40_000) == []
    assert seqs(outbox.take_due(40_000 + FIRST_DEADLINE_MS)) == [1]


def test_a_backlog_is_fetched_piece_by_piece_and_in_order() -> None:
    outbox = online()
    published: list[int] = []
    file = list(range(1, 12))
    for _ in range(20):
        fetch = outbox.next_fetch()
        if fetch is not None:
            part = [seq for seq in file if seq > fetch.after][: fetch.limit]
            outbox.add_fetched(Fetched(items(*part), part[-1] if part else fetch.after, is_all=len(part) < fetch.limit))
        due = outbox.take_due(0)
        published += seqs(due)
        outbox.acknowledge([one.identity for one in due], 0)

    assert published == file
    assert outbox.next_fetch() is None


def test_a_live_reading_that_found_no_room_in_memory_is_fetched_from_the_file_later() -> None:
    outbox = online()
    assert outbox.next_fetch() is not None
    outbox.add_fetched(Fetched([], 0, is_all=True))
    for seq in range(1, 2 * WINDOW + 2):
        outbox.add(item(seq))
    outbox.acknowledge([one.identity for one in outbox.take_due(0)], 0)

    fetch = outbox.next_fetch()

    assert fetch is not None
    assert fetch.after == 0


def test_a_fetch_under_way_does_not_pass_over_a_reading_that_went_back_to_the_file() -> None:
    outbox = online()
    for seq in range(1, WINDOW + 1):
        outbox.add(item(seq))
    assert outbox.next_fetch() == Fetch(0, WINDOW)
    outbox.add_fetched(Fetched(items(*range(1, WINDOW + 1)), WINDOW, is_all=False))
    assert outbox.next_fetch() == Fetch(WINDOW, WINDOW)
    outbox.add(item(WINDOW + 1))  # no room: reading 1 goes back

    outbox.add_fetched(Fetched(items(WINDOW + 1), WINDOW + 1, is_all=True))

    assert outbox.next_fetch() == Fetch(0, WINDOW)


def test_readings_that_were_given_back_are_fetched_although_the_file_was_read_to_its_end() -> None:
    outbox = online()
    outbox.next_fetch()
    outbox.add_fetched(Fetched(items(1), 1, is_all=True))
    outbox.take_due(0)
    outbox.acknowledge([who(1)], 1)
    assert outbox.next_fetch() is None

    outbox.expect_more()

    assert outbox.next_fetch() == Fetch(1, WINDOW)
    outbox.add_fetched(Fetched([Item(2, who(1), 1, b"payload", 0)], 2, is_all=True))
    assert [(one.seq, one.identity) for one in outbox.take_due(2)] == [(2, who(1))]


def test_a_fetch_that_failed_is_wanted_again() -> None:
    outbox = online()
    assert outbox.next_fetch() is not None
    assert outbox.next_fetch() is None

    outbox.fail_fetch()

    assert outbox.next_fetch() is not None


class World(RuleBasedStateMachine):
    """The policy with a file that works through its orders one by one, and a network that loses and repeats.

    Some readings are *deaf*: nobody acknowledges them, until the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outbox = online()
        self.now_ms = 0
        self.seq = 0
        self.file: dict[int, Item] = {}
        self.orders: list[Callable[[], None]] = []  # what the file has been asked and not done
        self.air: list[Item] = []
        self.deaf: set[int] = set()
        self.is_online = True

    @rule(count=st.integers(1, 2 * WINDOW), is_late=st.booleans(), is_deaf=st.booleans())
    def nodes_send(self, count: int, is_late: bool, is_deaf: bool) -> None:
        self.orders += [lambda: self._insert(is_deaf)] * count
        if not is_late:
            self.the_file_works(len(self.orders))
            self.the_policy_publishes(is_late=False)

    def _insert(self, is_deaf: bool = False) -> None:
        self.seq += 1
        if is_deaf:
            self.deaf.add(self.seq)
        self.file[self.seq] = item(self.seq)
        self.outbox.add(item(self.seq))

    @rule()
    def a_live_reading_is_published_soon_whatever_is_not_acknowledged(self) -> None:
        self.the_file_works(len(self.orders))
        if not self.is_online:
            return
        self._insert()
        self.the_policy_publishes(is_late=False)
        if item(self.seq) not in self._heard():
            self.now_ms += FIRST_DEADLINE_MS
            self.the_policy_publishes(is_late=False)

        (now,) = [one for one in self._heard() if one.seq == self.seq]
        self._acknowledge([now])

    def _heard(self) -> list[Item]:
        """What is in the air and not deaf, at QoS 1, each once."""
        return items(*sorted({one.seq for one in self.air} - self.deaf))

    @rule()
    def the_policy_fetches(self) -> None:
        fetch = self.outbox.next_fetch()
        if fetch is not None:
            self.orders.append(lambda: self._fetch(fetch))

    def _fetch(self, fetch: Fetch) -> None:
        part = [seq for seq in sorted(self.file) if seq > fetch.after][: fetch.limit]
        self.outbox.add_fetched(
            Fetched(items(*part), part[-1] if part else fetch.after, is_all=len(part) < fetch.limit)
        )

    @rule(count=st.integers(1, 10))
    def the_file_works(self, count: int) -> None:
        for order in self.orders[:count]:
            order()
        del self.orders[:count]

    @rule()
    def a_fetch_fails(self) -> None:
        self.outbox.fail_fetch()

    @rule(is_late=st.booleans())
    def the_policy_publishes(self, is_late: bool) -> None:
        self.the_policy_fetches()
        if not is_late:
            self.the_file_works(len(self.orders))
        due = self.outbox.take_due(self.now_ms)
        assert self.is_online or not due
        self.air += due

    @rule(chance=st.randoms(use_true_random=False))
    def the_server_commits_some_in_any_order(self, chance: random.Random) -> None:
        chance.shuffle(self.air)
        done = [one for one in self.air if one.seq not in self.deaf][: chance.randrange(len(self.air) + 1)]
        self.orders.append(lambda: self._acknowledge(done))

    def _acknowledge(self, done: list[Item]) -> None:
        for one in done:
            self.file.pop(one.seq, None)
        self.outbox.acknowledge([one.identity for one in done], self.now_ms)

    @rule(chance=st.randoms(use_true_random=False))
    def the_broker_takes_some_no_longer(self, chance: random.Random) -> None:
        for one in list(self.air):
            if chance.random() < 0.5:
                self.air.remove(one)
                self.outbox.hold(one.identity, self.now_ms)

    @rule()
    def the_network_loses_everything(self) -> None:
        self.air.clear()

    @rule(wait_ms=st.integers(1, 400_000))
    def time_passes(self, wait_ms: int) -> None:
        self.now_ms += wait_ms

    @rule()
    def the_broker_comes(self) -> None:
        self.is_online = True
        self.outbox.connected(self.now_ms)

    @rule()
    def the_broker_goes(self) -> None:
        self.is_online = False
        self.outbox.disconnected()

    @rule()
    def the_gateway_is_killed_and_starts_again(self) -> None:
        self.orders.clear()
        self.is_online = True
        self.outbox = online()
        self.outbox.connected(self.now_ms)

    @invariant()
    def the_window_holds(self) -> None:
        assert len(self.outbox._in_flight) <= WINDOW

    def teardown(self) -> None:
        """Heal all but the deaf, and only these remain; then heal them, and the file is empty."""
        self.air.clear()
        self.the_file_works(len(self.orders))
        self.the_broker_comes()
        for _ in range(2):  # in this pass through the file, and in the next one: some were passed over in this one
            for _ in range(2 * (len(self.file) + WINDOW)):
                self.a_live_reading_is_published_soon_whatever_is_not_acknowledged()
                self.the_policy_publishes(is_late=False)
                self._acknowledge(self._heard())
                self.now_ms += BACKLOG_PATIENCE_MS
            self.now_ms += LAST_HOLD_MS
        assert set(self.file) <= self.deaf
        self.deaf.clear()
        for _ in range(2 * (len(self.file) + 2)):
            self.the_policy_publishes(is_late=False)
            self._acknowledge(self.air)
            self.air = []
            self.now_ms += LAST_DEADLINE_MS
        assert not self.file
        assert len(self.outbox._in_flight) == 0


TestWorld = World.TestCase
TestWorld.settings = model_settings(40)
