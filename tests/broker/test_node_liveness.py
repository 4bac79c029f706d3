"""What several gateways say of one node, and which of it holds."""

import json

import pytest

from aoii.broker import node_liveness
from aoii.broker.node_liveness import UNKNOWN, ErrorBound, NodeLiveness, Vouched, combine
from aoii.core.errors import ProtocolError

THRESHOLDS = ErrorBound(0.5, 3.0)
LATER = 60_002  # than 1 by more than a packet and its retries take, ms
Said = tuple[NodeLiveness, int | None]


@pytest.mark.parametrize(
    ("said", "holds"),
    [
        ([], "unknown"),
        ([("ok", 9)], "ok"),
        ([("dead", 9)], "dead"),
        # who heard it last is right, whatever the others miss
        ([("dead", 1), ("ok", LATER)], "ok"),
        ([("late", 1), ("ok", LATER)], "ok"),
        ([("dead", None), ("ok", LATER)], "ok"),
        ([("dead", 1), ("ok", None)], "ok"),
        ([("dead", 1), ("late", LATER)], "late"),
        ([("late", 1), ("dead", LATER)], "dead"),
        ([("sensor_fault", LATER), ("dead", 1)], "sensor_fault"),
        ([("unknown", None), ("ok", 9)], "ok"),
        ([("unknown", LATER), ("ok", 1)], "ok"),
        # they lost it at once: who counts the longest silence has listened longest since, and the other was away
        ([("ok", 9), ("dead", 1)], "dead"),
        ([("ok", 1), ("late", 9)], "late"),
        ([("late", 9), ("dead", 1)], "dead"),
        ([("dead", 1), ("dead", 9)], "dead"),
        # two hear it: the newer frame says what its sensor does
        ([("ok", 1), ("sensor_fault", 9)], "sensor_fault"),
        ([("ok", 9), ("sensor_fault", 1)], "ok"),
        ([("ok", 9), ("sensor_fault", 9)], "sensor_fault"),
        ([("ok", None), ("sensor_fault", None)], "sensor_fault"),
        # one does not listen, and never heard it or lost it as early: it hides nothing
        ([("unknown", None), ("dead", 9)], "dead"),
        ([("unknown", None), ("late", 9)], "late"),
        ([("unknown", 1), ("dead", LATER)], "dead"),
        ([("unknown", 60_001), ("dead", 1)], "dead"),
        ([("unknown", None), ("dead", None)], "dead"),
        # one does not listen, and heard it after the others had lost it: it might hear it now
        ([("unknown", LATER), ("dead", 1)], "unknown"),
        ([("unknown", LATER), ("late", 1)], "unknown"),
        ([("unknown", LATER), ("dead", 1), ("late", LATER)], "late"),
        ([("unknown", LATER), ("dead", LATER), ("late", 1)], "dead"),
        ([("unknown", None), ("unknown", 5)], "unknown"),
    ],
)
def test_what_holds_of_what_several_gateways_say(said: list[Said], holds: NodeLiveness) -> None:
    for order in (said, said[::-1]):
        found = combine([Vouched(liveness, heard_ms) for liveness, heard_ms in order])

        assert found.liveness == holds
        assert found.last_heard_ms == max((heard_ms for _, heard_ms in said if heard_ms is not None), default=None)


def test_the_bound_is_that_of_the_gateway_whose_word_holds() -> None:
    other = ErrorBound(1.0, 5.0)

    assert combine([Vouched("ok", 1, other), Vouched("ok", 9, THRESHOLDS)]).error_bound == THRESHOLDS
    assert combine([Vouched("late", LATER, THRESHOLDS), Vouched("dead", 1)]).error_bound == THRESHOLDS
    assert combine([Vouched("ok", 9, THRESHOLDS), Vouched("dead", 1)]).error_bound is None
    assert combine([Vouched("unknown", LATER), Vouched("late", 1, THRESHOLDS)]).error_bound is None
    assert combine([]) == UNKNOWN


@pytest.mark.parametrize(
    "bound",
    [3, [0.5, 3], {}, {"temperature": 0.5}, {"temperature": "0.5", "humidity": 3}, {"temperature": -1, "humidity": 3},
     {"temperature": True, "humidity": 3}, {"temperature": 1e9, "humidity": 3}],
)  # fmt: skip
def test_a_bound_that_is_none_is_rejected(bound: object) -> None:
    with pytest.raises(ProtocolError):
        node_liveness.decode_bound({"error_bound": bound})


def test_bound_and_liveness_survive_the_wire_and_may_be_missing() -> None:
    for bound in (None, THRESHOLDS):
        fields = json.loads(json.dumps({"error_bound": node_liveness.encode_bound(bound)}))
        assert node_liveness.decode_bound(fields) == bound
    assert node_liveness.decode_bound({}) is None
    assert node_liveness.decode_liveness({}) is None
    assert node_liveness.decode_liveness({"liveness": "late"}) == "late"
    for wrong in ("asleep", "", 1, ["ok"]):
        with pytest.raises(ProtocolError, match="liveness is not one of ok, late, dead, sensor_fault, unknown"):
            node_liveness.decode_liveness({"liveness": wrong})
