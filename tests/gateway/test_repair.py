"""What is given back and what is reported: each question ends, is answered once, and bounds hold whatever is asked."""

from collections.abc import Sequence

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aoii.broker.messages import Identity
from aoii.broker.repair_messages import HOLES_LIMIT, Ask, Finding, Holding, Hole, Report, encode_report
from aoii.core.forecast import HOLD
from aoii.core.frames import BACKFILL, EVENT, Uplink
from aoii.gateway.air_asks import AirAsks
from aoii.gateway.findings import NodeEpoch
from aoii.gateway.numbers import GivenBack, NodeNumbers, Place, Stretch, stretches
from aoii.gateway.repair import (
    AGAIN_MS,
    ANSWER_MS,
    GIVE_BACK,
    GIVE_BACK_AT,
    PIECES_LIMIT,
    REPORT_EVERY_MS,
    REPORT_MS,
    RESTORED_MS,
    STALLED_MS,
    UNREPORTED_LIMIT,
    WANTED_LIMIT,
    ForgetForecasts,
    GiveBack,
    Look,
    Repair,
)
from stateful import model_settings

NODE = NodeEpoch("7", 2)
HUGE = 2**63 - 1
FILE = "0123456789abcdef"


class File:
    """A gateway's files, and the thread that does one step at a time in them."""

    def __init__(self, repair: Repair) -> None:
        self.repair = repair
        self.places: dict[NodeEpoch, dict[int, Place]] = {NODE: {}}
        self.looks = self.copied = self.forgot = 0

    def fill(self, place: Place, *numbers: int, whose: NodeEpoch = NODE) -> None:
        self.places.setdefault(whose, {}).update(dict.fromkeys(numbers, place))

    def find(self, whose: NodeEpoch, first: int, last: int, limit: int = 500) -> list[Stretch]:
        here = sorted((one, place) for one, place in self.places.get(whose, {}).items() if first <= one <= last)
        by = {place: [one for one, other in here if other == place] for place in ("waiting", "kept", "forgotten")}
        forgotten = [(one, one) for one in by["forgotten"]]
        return list(stretches(first, last, by["waiting"], by["kept"], forgotten))[:limit]

    def give_back(self, whose: NodeEpoch, first: int, last: int, limit: int) -> GivenBack:
        here = self.places.get(whose, {})
        kept = sorted(one for one, place in here.items() if place == "kept" and first <= one <= last)
        here.update(dict.fromkeys(kept[:limit], "waiting"))
        self.copied += len(kept[:limit])
        return GivenBack(len(kept[:limit]), kept[limit - 1] + 1 if len(kept) > limit else None)

    def do(self, now_ms: int = 0, has_room: bool = True) -> bool:
        """Do the next step; whether there was one."""
        step = self.repair.next_step(has_room, now_ms)
        if isinstance(step, Look):
            self.looks += 1
            self.repair.looked(step, [self.find(*one[:3]) for one in step.pieces], now_ms)
        elif isinstance(step, GiveBack):
            copied: list[GivenBack] = []
            left = step.limit
            for piece in step.pieces:
                copied.append(self.give_back(*piece[:3], left))
                left -= copied[-1].copied
                if left <= 0:
                    break
            self.repair.gave_back(step, copied, now_ms)
        elif isinstance(step, ForgetForecasts):
            self.forgot += 1
            self.repair.forgot()
        return step is not None

    def waiting(self) -> list[Identity]:
        return [
            Identity(*whose, one) for whose, here in self.places.items() for one, place in here.items()
            if place == "waiting"
        ]  # fmt: skip

    def acknowledge(self, identities: Sequence[Identity], now_ms: int = 0) -> None:
        for one in identities:
            self.places[NodeEpoch(one.node, one.epoch)][one.counter] = "kept"
        self.repair.acknowledge(identities, now_ms)


def made(can_ask: bool = True) -> tuple[Repair, File, AirAsks]:
    air = AirAsks()
    repair = Repair(air, lambda whose: can_ask and whose == NODE)
    repair.connected(0)
    return repair, File(repair), air


def ask(*holes: tuple[int, int], is_for_node: bool = False, number: int = 1, restored: bool = False) -> Ask:
    return Ask(number, restored, tuple(Hole(*NODE, *hole, is_for_node) for hole in holes))


def reported(repair: Repair, now_ms: int, *numbers: NodeNumbers) -> Report | None:
    return repair.report(FILE, 9, numbers, now_ms) if repair.is_report_due(now_ms) else None


def findings(repair: Repair, now_ms: int) -> tuple[Finding, ...]:
    report = reported(repair, now_ms)
    return () if report is None else tuple(one for holding in report.holdings for one in holding.findings)


# --- giving back ----------------------------------------------------------------------------------------------------


def test_kept_readings_are_given_back_and_what_is_not_here_is_reported() -> None:
    repair, file, _ = made()
    file.fill("kept", 2, 3)
    file.fill("waiting", 4)
    file.fill("forgotten", 6)

    repair.take(ask((1, 7)), 0)
    while file.do():
        pass

    assert {one.counter for one in file.waiting()} == {2, 3, 4}
    assert findings(repair, 0) == (
        Finding(1, 1, "absent"), Finding(5, 5, "absent"), Finding(6, 6, "forgotten"), Finding(7, 7, "absent"),
    )  # fmt: skip


def test_no_more_than_the_limit_is_outstanding_and_the_rest_follows_acknowledgements() -> None:
    repair, file, _ = made()
    file.fill("kept", *range(1, 2001))

    repair.take(ask((1, 2000)), 0)
    most = 0
    for now_ms in range(100):
        while file.do(now_ms):
            most = max(most, repair.outstanding, len(file.waiting()))
        file.acknowledge(file.waiting()[:100], now_ms)

    assert most == GIVE_BACK
    assert file.copied == 2000
    assert repair.is_idle


def test_more_is_given_back_before_all_is_acknowledged() -> None:
    repair, file, _ = made()
    file.fill("kept", *range(1, 2001))
    repair.take(ask((1, 2000)), 0)
    while file.do():
        pass

    file.acknowledge(file.waiting()[: GIVE_BACK - GIVE_BACK_AT - 1])
    assert not file.do()
    file.acknowledge(file.waiting()[:1])
    assert file.do()
    assert repair.outstanding == GIVE_BACK


def test_nothing_is_given_back_into_an_outbox_without_room_but_questions_are_answered() -> None:
    repair, file, _ = made()
    file.fill("kept", 2)

    repair.take(ask((1, 2)), 0)
    while file.do(has_room=False):
        pass

    assert file.copied == 0
    assert findings(repair, 0) == (Finding(1, 1, "absent"),)
    assert file.do()
    assert file.copied == 1


def test_readings_that_are_never_acknowledged_keep_others_waiting_for_a_time_while_a_server_is_there() -> None:
    repair, file, _ = made()
    file.fill("kept", *range(1, 2 * GIVE_BACK + 1))
    repair.take(ask((1, 2 * GIVE_BACK)), 0)
    while file.do():
        pass
    assert file.copied == GIVE_BACK

    assert not file.do(10 * STALLED_MS)
    repair.acknowledge([Identity("8", 1, 1)], STALLED_MS - 1)
    assert not file.do(STALLED_MS - 1)
    repair.acknowledge([Identity("8", 1, 1)], STALLED_MS)
    assert file.do(STALLED_MS)
    assert file.copied == 2 * GIVE_BACK


def test_a_failed_step_is_tried_again_later() -> None:
    repair, file, _ = made()
    file.fill("kept", 1, 2)
    repair.take(ask((1, 2), restored=True), 0)
    for kind in (ForgetForecasts, Look, GiveBack):
        step = repair.next_step(True, 0)
        assert isinstance(step, kind)
        repair.failed(step, 0)
        assert repair.next_step(True, AGAIN_MS - 1) is None
        repair._resume_ms = 0
        assert file.do()

    assert file.copied == 2


# --- questions ------------------------------------------------------------------------------------------------------


def test_several_questions_about_the_same_numbers_are_one_piece_of_work() -> None:
    repair, file, _ = made()
    file.fill("kept", *range(1, 101))

    for number in range(200):
        repair.take(ask((1, 100), number=number), 0)
        file.do()

    assert file.copied == 100
    assert file.looks < 200


def test_a_forged_flood_costs_bounded_memory_and_one_step_at_a_time() -> None:
    repair, file, _ = made()

    left_out = 0
    for number in range(100):
        holes = tuple(Hole(f"forged {number} {one}", one, 0, HUGE, True) for one in range(HOLES_LIMIT))
        left_out += repair.take(Ask(number, False, holes), 0)
    steps = 0
    for now_ms in range(0, 10_000_000, REPORT_MS):
        while file.do(now_ms):
            steps += 1
            assert repair.findings.unreported <= UNREPORTED_LIMIT + 500
        reported(repair, now_ms)

    assert left_out == 100 * HOLES_LIMIT - WANTED_LIMIT
    assert steps == WANTED_LIMIT // 50
    assert repair.is_idle
    assert len(repair.findings) <= 5_000


def test_a_question_that_is_cut_short_by_the_file_goes_on_where_it_ended() -> None:
    repair, _, _ = made()
    step_ended = []
    repair.take(ask((1, 10)), 0)
    for _ in range(3):
        step = repair.next_step(True, 0)
        assert isinstance(step, Look)
        step_ended.append(step.pieces[0].first)
        repair.looked(step, [[Stretch(step.pieces[0].first, step.pieces[0].first, "absent")]], 0)

    assert step_ended == [1, 2, 3]


def test_a_huge_hole_is_found_empty_at_once() -> None:
    repair, file, _ = made()

    repair.take(ask((0, HUGE)), 0)
    assert file.do()

    assert findings(repair, 0) == (Finding(0, HUGE, "absent"),)


@pytest.mark.parametrize(("at_ms", "times"), [(RESTORED_MS - 1, 1), (RESTORED_MS, 2)])
def test_a_restored_file_forgets_its_forecasts_once_in_an_hour(at_ms: int, times: int) -> None:
    repair, file, _ = made()

    for now_ms in (0, 1, at_ms):
        repair.take(ask(restored=True), now_ms)
        while file.do(now_ms):
            pass

    assert file.forgot == times


# --- over the air ---------------------------------------------------------------------------------------------------


def frame(counter: int, answers: int = 0) -> Uplink:
    return Uplink(7, 2, counter, counter, 0, 2150, 4000, HOLD, BACKFILL if answers else EVENT, 1, 0, answers)


def test_what_is_not_here_is_asked_of_the_node_and_its_answer_is_reported() -> None:
    repair, file, air = made()
    file.fill("forgotten", 3)
    repair.take(ask((2, 4), is_for_node=True), 0)
    file.do()
    assert findings(repair, 0) == ()
    assert air.learn(frame(9), True, 0).again == 5

    repair.found(NODE, air.learn(frame(1, 4), True, 0).findings, 0)

    assert findings(repair, REPORT_MS) == (Finding(2, 2, "void"), Finding(3, 3, "forgotten"), Finding(4, 4, "void"))


def test_who_cannot_ask_the_node_says_absent_even_of_what_was_here() -> None:
    repair, file, air = made(can_ask=False)
    file.fill("forgotten", 3)
    repair.take(ask((2, 4), is_for_node=True), 0)
    file.do()

    assert findings(repair, 0) == (Finding(2, 4, "absent"),)
    assert not air.wanted(NODE, 2, 4)


def test_a_question_is_named_when_all_of_it_has_been_looked_up_and_with_all_its_findings() -> None:
    repair, file, _ = made()
    assert reported(repair, 0) is not None  # the first one
    holes = [(number, number) for number in range(2, 2 * PIECES_LIMIT + 4, 2)]  # one more than two steps look up

    repair.take(ask(*holes, number=5), 1)
    file.do(1)
    early = reported(repair, REPORT_MS)
    while file.do(REPORT_MS):
        pass
    named = reported(repair, 2 * REPORT_MS)

    assert early is not None
    assert early.asked == 0
    assert len(early.holdings[0].findings) == PIECES_LIMIT
    assert named is not None
    assert named.asked == 5
    assert [(one.first, one.last) for one in named.holdings[0].findings] == holes


def test_a_question_of_which_something_was_left_out_is_never_named() -> None:
    repair, file, _ = made()
    holes = [(number, number) for number in range(2, 602, 2)]
    for at in range(0, WANTED_LIMIT, HOLES_LIMIT):
        repair.take(ask(*((first + 1000 * at, last + 1000 * at) for first, last in holes), number=1 + at), 0)

    assert repair.take(ask((1, 1), (9, 9), number=10_000_000), 0) == 2
    now_ms, named = 0, set()
    while file.do(now_ms):
        now_ms += REPORT_MS
        report = reported(repair, now_ms)
        named.add(report.asked if report else 0)
    report = reported(repair, now_ms + REPORT_MS)
    named.add(report.asked if report else 0)

    assert 10_000_000 not in named
    assert max(named) > 0


def test_a_question_to_a_restored_file_is_named_when_its_forecasts_are_forgotten() -> None:
    repair, file, _ = made()
    repair.take(ask(number=5, restored=True), 0)
    before = reported(repair, 0)
    file.do(0)
    after = reported(repair, REPORT_MS)

    assert before is not None
    assert after is not None
    assert (before.asked, after.asked) == (0, 5)


def test_what_a_node_has_said_is_reported_again_and_not_asked_again() -> None:
    repair, file, air = made()
    repair.found(NODE, [Finding(2, 4, "void")], 0)
    findings(repair, 0)

    for is_for_node in (True, False):
        repair.take(ask((2, 4), is_for_node=is_for_node), REPORT_MS)
        file.do()

    assert findings(repair, REPORT_MS) == (Finding(2, 4, "void"),)
    assert air.wanted(NODE, 0, HUGE) == []


def test_numbers_that_a_node_is_being_asked_for_are_not_called_absent() -> None:
    repair, file, _ = made()
    repair.take(ask((2, 4), is_for_node=True), 0)
    file.do()

    repair.take(ask((1, 5)), 0)
    file.do()

    assert findings(repair, 0) == (Finding(1, 1, "absent"), Finding(5, 5, "absent"))


def test_a_question_for_the_node_stays_one_when_it_is_repeated_without_that() -> None:
    repair, file, air = made()
    repair.take(ask((2, 4), is_for_node=True), 0)
    repair.take(ask((1, 9)), 0)
    while file.do():
        pass

    assert air.wanted(NODE, 0, HUGE) == [(2, 4)]


def test_a_reading_that_arrives_takes_back_what_was_found_of_it() -> None:
    repair, file, _ = made()
    repair.take(ask((2, 4)), 0)
    file.do()

    repair.arrived(NODE, 3)

    assert findings(repair, 0) == (Finding(2, 2, "absent"), Finding(4, 4, "absent"))


# --- reports --------------------------------------------------------------------------------------------------------


def test_it_is_reported_on_connect_hourly_after_a_question_and_at_new_findings_and_never_offline() -> None:
    repair = Repair(AirAsks(), lambda _: True)
    mine = NodeNumbers("7", 2, 1, 9, 3)
    assert reported(repair, 0, mine) is None

    repair.connected(5)
    assert reported(repair, 5, mine) == Report(FILE, 9, 0, (Holding("7", 2, 1, 9, 3),))
    repair.take(ask(number=3), 5)
    assert reported(repair, 5 + REPORT_MS, mine) == Report(FILE, 9, 3, (Holding("7", 2, 1, 9, 3),))
    assert reported(repair, 5 + REPORT_EVERY_MS - 1, mine) is None
    assert reported(repair, 5 + REPORT_EVERY_MS, mine) is not None

    repair.take(ask(number=4), 5 + REPORT_EVERY_MS)
    assert reported(repair, 5 + REPORT_EVERY_MS + REPORT_MS - 1, mine) is None  # not so soon
    now_ms = 5 + REPORT_EVERY_MS + REPORT_MS
    assert reported(repair, now_ms, mine) == Report(FILE, 9, 4, (Holding("7", 2, 1, 9, 3),))

    repair.found(NODE, [Finding(5, 6, "void")], now_ms)
    with_finding = Holding("7", 2, 1, 9, 3, (Finding(5, 6, "void"),))
    other = NodeNumbers("8", 2, 1, 9, 3)
    assert reported(repair, now_ms + REPORT_MS, mine, other) == Report(FILE, 9, 4, (with_finding,))
    repair.disconnected()
    repair.take(ask(), now_ms + 2 * REPORT_MS)
    assert reported(repair, now_ms + 2 * REPORT_MS, mine) is None
    repair.connected(now_ms + 3 * REPORT_MS)
    assert reported(repair, now_ms + 3 * REPORT_MS, mine) == Report(FILE, 9, 1, (with_finding,))


def test_a_report_that_nobody_has_heard_is_repeated_until_a_server_asks() -> None:
    repair, mine = Repair(AirAsks(), lambda _: True), NodeNumbers("7", 2, 1, 9, 3)

    def report_times_s(first_ms: int, last_ms: int) -> list[int]:
        return [ms // 1000 for ms in range(first_ms, last_ms, 1000) if reported(repair, ms, mine) is not None]

    repair.connected(0)
    assert report_times_s(0, 2 * REPORT_EVERY_MS) == [0, 10, 30, 70, 150, 310, 630, 1270, 2550, 5110]
    repair.connected(2 * REPORT_EVERY_MS)
    asked_ms = 2 * REPORT_EVERY_MS + 15_000
    assert report_times_s(2 * REPORT_EVERY_MS, asked_ms) == [7200, 7210]
    repair.take(ask(), asked_ms)
    assert report_times_s(asked_ms, asked_ms + REPORT_EVERY_MS) == [7215]
    assert report_times_s(asked_ms + REPORT_EVERY_MS, asked_ms + 3 * REPORT_EVERY_MS) == [10815, 14415]


def test_a_question_does_not_put_off_the_report_after_a_connection() -> None:
    """Only that one has the findings which were reported before."""
    repair, mine = Repair(AirAsks(), lambda _: True), NodeNumbers("7", 2, 1, 9, 3)
    repair.found(NODE, [Finding(5, 6, "void")], 0)
    repair.connected(0)
    assert reported(repair, 0, mine) is not None
    repair.disconnected()
    repair.connected(10_000)
    repair.take(ask(), 10_000)
    report = reported(repair, 10_000, mine)
    assert report is not None
    assert report.holdings[0].findings == (Finding(5, 6, "void"),)


def test_a_question_is_answered_without_a_report_when_nothing_of_it_is_missing() -> None:
    repair, file, _ = made()
    file.fill("kept", *range(0, 700, 2))
    assert reported(repair, 0) is not None

    answered = []
    for number in range(1, 4):
        now_ms = number * ANSWER_MS
        repair.take(ask(*((one, one) for one in range(200 * number - 200, 200 * number, 2)), number=number), now_ms)
        assert repair.take_answer(now_ms) is None  # it is being looked up
        while file.do(now_ms):
            pass
        answered.append(repair.take_answer(now_ms))

    assert answered == [1, 2, 3]
    assert reported(repair, REPORT_MS - 1) is None
    report = reported(repair, REPORT_MS)
    assert report is not None
    assert report.asked == 3


def test_answers_are_not_more_frequent_however_fast_a_server_asks() -> None:
    repair, file, _ = made()
    file.fill("kept", *range(100))

    answers = 0
    for now_ms in range(10 * ANSWER_MS):
        repair.take(ask((now_ms % 100, now_ms % 100), number=1 + now_ms), now_ms)
        file.do(now_ms)
        answers += repair.take_answer(now_ms) is not None

    assert answers == 10


@pytest.mark.parametrize("holes", [(), ((2, 3), (9, 9))])
def test_what_is_missing_or_a_question_for_a_report_is_answered_by_a_report(holes: tuple[tuple[int, int], ...]) -> None:
    repair, file, _ = made()
    file.fill("kept", 2, 3)

    repair.take(ask(*holes), 0)
    while file.do():
        pass

    assert repair.take_answer(REPORT_MS) is None
    report = reported(repair, REPORT_MS)
    assert report is not None
    assert report.asked == 1


def test_an_answer_waits_for_the_broker() -> None:
    repair, file, _ = made()
    file.fill("kept", 2)
    repair.disconnected()
    repair.take(ask((2, 2)), 0)
    while file.do():
        pass

    assert repair.take_answer(0) is None
    repair.connected(1)
    assert repair.take_answer(1) == 1


def test_a_node_of_which_nothing_was_ever_here_is_reported_with_a_number_that_is_asked_for() -> None:
    repair, file, _ = made()
    repair.take(ask((5, 8)), 0)
    file.do()

    report = reported(repair, 0)

    assert report is not None
    assert report.holdings == (Holding("7", 2, 5, 5, 0, (Finding(5, 8, "absent"),)),)
    assert len(encode_report(report)) == 1


def test_a_report_that_failed_is_tried_again_later() -> None:
    repair, _, _ = made()
    assert repair.is_report_due(0)
    assert not repair.is_report_due(REPORT_MS)  # it is being made

    repair.fail_report(0)

    assert not repair.is_report_due(AGAIN_MS - 1)
    assert repair.is_report_due(AGAIN_MS)


# --- a model --------------------------------------------------------------------------------------------------------


class AnyOrder(RuleBasedStateMachine):
    """Questions, steps, acknowledgements and pruning in any order: what is kept comes back, the rest is reported."""

    def __init__(self) -> None:
        super().__init__()
        self.repair, self.file, _ = made()
        self.asked: set[int] = set()
        self.told: dict[int, str] = {}
        self.now_ms = 0
        self.file.fill("kept", *range(20, 40))
        self.file.fill("forgotten", *range(5, 20))

    @rule(first=st.integers(0, 50), size=st.integers(0, 30))
    def question(self, first: int, size: int) -> None:
        self.repair.take(ask((first, first + size)), self.now_ms)
        self.asked |= set(range(first, first + size + 1))

    @rule(has_room=st.booleans())
    def step(self, has_room: bool) -> None:
        self.file.do(self.now_ms, has_room)

    @rule(share=st.integers(1, 5))
    def acknowledge(self, share: int) -> None:
        self.file.acknowledge(self.file.waiting()[::share], self.now_ms)

    @rule(number=st.integers(20, 40))
    def make_room(self, number: int) -> None:
        if self.file.places[NODE].get(number) == "kept":
            self.file.fill("forgotten", number)

    @rule()
    def report(self) -> None:
        self.now_ms += REPORT_MS
        for one in findings(self.repair, self.now_ms):
            self.told |= dict.fromkeys(range(one.first, one.last + 1), one.kind)

    @invariant()
    def bounded(self) -> None:
        assert self.repair.outstanding <= GIVE_BACK

    def teardown(self) -> None:
        had = {number for number, place in self.file.places[NODE].items() if place == "kept"}
        before = {one.counter for one in self.file.waiting()}
        self.repair.take(ask(*((one, one) for one in sorted(self.asked)[:HOLES_LIMIT])), self.now_ms)
        for _ in range(20):
            while self.file.do(self.now_ms):
                pass
            back = {one.counter for one in self.file.waiting()} - before
            assert back <= had & self.asked
            self.report()

        assert had & self.asked <= {one.counter for one in self.file.waiting()}
        places = self.file.places[NODE]
        missing = {one for one in self.asked if places.get(one, "absent") in ("absent", "forgotten")}
        assert {one: self.told.get(one) for one in missing} == {one: places.get(one, "absent") for one in missing}


TestAnyOrder = AnyOrder.TestCase
TestAnyOrder.settings = model_settings(40)
