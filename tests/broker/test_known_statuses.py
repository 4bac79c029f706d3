"""What a reader knows of nodes: fresh messages for a while, kept ones only if the clocks allow it."""

from dataclasses import replace

import pytest

from aoii.broker.known_statuses import KnownStatuses
from aoii.broker.node_liveness import ErrorBound, Vouched
from aoii.broker.node_status import Label, NodeStatus, encode, topic_of
from aoii.core.errors import ProtocolError

SAID_MS = 1_772_000_000_000
BOUND = ErrorBound(0.5, 3.0)
STATUS = NodeStatus("7", "attic", Vouched("ok", SAID_MS - 60_000, BOUND), 60.0, 7200.0, SAID_MS, 300)


def add(
    known: KnownStatuses, status: NodeStatus, *, is_kept: bool = False, now_s: float = 0.0, age_s: float = 0.0
) -> None:
    unix_ms = SAID_MS + round(1000 * age_s)
    known.add(topic_of(status.gateway, status.node), encode(status), is_kept=is_kept, now_s=now_s, unix_ms=unix_ms)


def test_a_message_holds_for_as_long_as_it_says_and_then_its_gateway_is_away() -> None:
    known = KnownStatuses()
    add(known, STATUS, now_s=1000, age_s=59)

    assert known.of("7", 1299.9) == STATUS.vouched
    assert known.of("7", 1300) == Vouched("unknown", SAID_MS - 60_000, None)


@pytest.mark.parametrize(
    ("age_s", "holds_s"),
    [(0, 300), (100, 200), (299, 1), (300, 0), (86_400, 0), (-3, 300), (-6, 0), (-86_400, 0)],
)
def test_a_kept_message_holds_as_far_as_the_clocks_prove_it(age_s: float, holds_s: float) -> None:
    known = KnownStatuses()
    add(known, STATUS, is_kept=True, now_s=50, age_s=age_s)

    assert known.of("7", 50 + holds_s).liveness == "unknown"
    assert holds_s == 0 or known.of("7", 50 + holds_s - 0.5).liveness == "ok"


@pytest.mark.parametrize("age_s", [-99_999, -61, 61, 99_999])
def test_a_gateway_whose_clock_is_wrong_says_no_times_that_count(age_s: float) -> None:
    known = KnownStatuses()
    ahead = replace(STATUS, gateway="cellar", vouched=Vouched("dead", SAID_MS + 10**9))
    add(known, STATUS)
    add(known, ahead, age_s=age_s)

    assert known.of("7", 1) == STATUS.vouched
    add(known, STATUS, age_s=age_s)
    assert known.of("7", 1) == Vouched("ok", None, BOUND)


def test_a_kept_message_without_a_clock_proves_nothing_until_a_fresh_one_comes() -> None:
    known = KnownStatuses()
    without = replace(STATUS, unix_ms=None)
    add(known, without, is_kept=True)
    assert known.of("7", 0).liveness == "unknown"

    add(known, without)
    assert known.of("7", 0).liveness == "ok"


def test_on_a_simulated_clock_the_age_is_counted_in_real_seconds() -> None:
    known = KnownStatuses(speed=600)
    add(known, STATUS, is_kept=True, age_s=6000)

    assert known.of("7", 289).liveness == "ok"
    assert known.of("7", 290).liveness == "unknown"


def test_a_gateway_that_is_away_hides_no_other() -> None:
    known = KnownStatuses()
    add(known, STATUS, now_s=0)
    cellar = replace(STATUS, gateway="cellar", vouched=Vouched("dead", SAID_MS - 180_000))
    add(known, cellar, now_s=250)
    assert known.of("7", 260).liveness == "ok"
    assert known.of("7", 310).liveness == "unknown"  # attic had heard it later than cellar, and is away

    add(known, replace(cellar, vouched=Vouched("dead", SAID_MS)), now_s=320)
    assert known.of("7", 330).liveness == "dead"


def test_an_empty_message_removes_a_node_of_one_gateway() -> None:
    known = KnownStatuses()
    add(known, STATUS)
    add(known, replace(STATUS, gateway="cellar"))
    for gateway in ("attic", "attic", "nowhere"):
        known.add(topic_of(gateway, "7"), b"", is_kept=False, now_s=0, unix_ms=0)
    assert (known.nodes(), known.of("7", 0).liveness) == (["7"], "ok")

    known.add(topic_of("cellar", "7"), b"", is_kept=False, now_s=0, unix_ms=0)
    assert (known.nodes(), known.of("7", 0)) == ([], Vouched())


def test_what_cannot_be_read_changes_nothing_and_strangers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aoii.broker.known_statuses.NODES_LIMIT", 1)
    known = KnownStatuses()
    add(known, STATUS)
    with pytest.raises(ProtocolError):
        known.add(topic_of("attic", "7"), b"{}", is_kept=False, now_s=0, unix_ms=0)
    add(known, replace(STATUS, node="8"))

    assert known.nodes() == ["7"]
    assert known.of("7", 0).liveness == "ok"


def test_a_name_is_that_of_the_gateway_that_has_one_and_outlives_its_silence() -> None:
    known = KnownStatuses()
    add(known, replace(STATUS, gateway="cellar"), now_s=10)
    nameless = known.label("7")
    add(known, replace(STATUS, label=Label("온실", "왼쪽 줄")))

    assert nameless == (None, None)
    assert known.label("7") == ("온실", "왼쪽 줄")
    add(known, STATUS, now_s=20)
    assert known.label("7") == (None, None)
