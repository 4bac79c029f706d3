"""The bounded place between network thread and worker."""

import threading

from aoii.broker.client import Message
from aoii.server.inbox import Inbox


def message(number: int, qos: int = 1, connection: int = 1, payload: bytes = b"") -> Message:
    return Message("aoii/readings", payload or b"%d" % number, qos, number, connection)


def test_messages_come_out_in_order_and_in_batches() -> None:
    inbox = Inbox()
    for number in range(7):
        inbox.put(message(number))

    batches = [inbox.take(3, 0) for _ in range(4)]

    assert [[item.mid for item in batch] for batch in batches] == [[0, 1, 2], [3, 4, 5], [6], []]
    assert not inbox.take_overrun()


def test_whoever_waits_is_woken() -> None:
    inbox = Inbox()
    putter = threading.Timer(0.05, inbox.put, [message(1)])
    putter.start()

    assert [item.mid for item in inbox.take(10, 10)] == [1]
    putter.join()


def test_a_full_inbox_leaves_the_rest_to_the_broker_and_asks_once_for_a_reconnect() -> None:
    inbox = Inbox(limit=2)
    for number in range(4):
        inbox.put(message(number))
    assert not inbox.take_overrun()  # first what is here

    assert [item.mid for item in inbox.take(10, 0)] == [0, 1]
    inbox.put(message(4))  # after what was left: to take it would acknowledge out of order
    overruns = [inbox.take_overrun(), inbox.take_overrun()]
    for number in range(2, 5):
        inbox.put(message(number, connection=2))

    assert overruns == [True, False]
    assert [item.mid for item in inbox.take(10, 0)] == [2, 3]
    assert inbox.take_overrun()


def test_a_lost_message_of_qos_0_needs_no_reconnect() -> None:
    inbox = Inbox(limit=1)
    inbox.put(message(1, qos=0))
    inbox.put(message(2, qos=0))

    assert [item.mid for item in inbox.take(10, 0)] == [1]
    assert not inbox.take_overrun()
    inbox.put(message(3))
    assert [item.mid for item in inbox.take(10, 0)] == [3]


def test_a_huge_payload_is_cut_but_stays_too_long_to_be_read() -> None:
    inbox = Inbox()

    inbox.put(message(1, payload=b"x" * 1_000_000))

    assert len(inbox.take(1, 0)[0].payload) == 4097
