"""A batch of messages: what is pending, and what may be acknowledged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.broker.client import Message
from aoii.broker.messages import Estimate, Reading
from aoii.server.batch import Batch, Received
from aoii.server.ingest import Malformed
from server.samples import a_reading

ESTIMATE = Estimate("gateway", "7", "2016-01-01 10:01:00", 0.4, 21.0, 40.0, 9, None)
MALFORMED = Malformed(b"\xff", "encoding", "payload is not UTF-8")


def received(mid: int, content: Reading | Estimate | Malformed) -> Received:
    return Received(Message("aoii/readings", b"", 1, mid, 1), content)


def taken(batch: Batch) -> list[int]:
    return [message.mid for message in batch.take_acknowledgeable()]


@pytest.fixture
def messages() -> list[Received]:
    return [received(1, a_reading(1)), received(2, MALFORMED), received(3, ESTIMATE), received(4, a_reading(2))]


def test_a_message_is_acknowledged_once_when_it_and_all_before_it_are_durable(messages: list[Received]) -> None:
    batch = Batch(messages)

    batch.mark_durable([messages[1]])
    before = taken(batch)
    batch.mark_durable([messages[0]])
    first = taken(batch)
    batch.mark_durable([messages[3]])

    assert (before, first, taken(batch), taken(batch)) == ([], [1, 2, 3], [4], [])
    assert batch.is_finished


def test_what_is_pending_is_found_by_its_kind_and_an_estimate_never_is(messages: list[Received]) -> None:
    batch = Batch(messages)

    batch.mark_durable([messages[0]])

    assert batch.pending(Reading) == [(messages[3], a_reading(2))]
    assert batch.pending(Malformed) == [(messages[1], MALFORMED)]
    assert not batch.is_finished


def test_two_equal_messages_are_still_two() -> None:
    twins = [received(0, a_reading(1)), received(0, a_reading(1))]
    batch = Batch(twins)

    batch.mark_durable(twins[1:])

    assert taken(batch) == []
    assert [one for one, _ in batch.pending(Reading)] == twins[:1]


@given(st.lists(st.integers(0, 9), max_size=30))
def test_in_any_order_the_acknowledged_are_the_durable_beginning(order: list[int]) -> None:
    messages = [received(mid, a_reading(mid)) for mid in range(10)]
    batch = Batch(messages)
    durable: set[int] = set()
    acknowledged: list[int] = []

    for mid in order:
        batch.mark_durable([messages[mid]])
        durable.add(mid)
        acknowledged += taken(batch)

        assert acknowledged == list(range(next(n for n in range(11) if n not in durable)))
