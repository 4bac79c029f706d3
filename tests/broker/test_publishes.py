"""The unfinished publishes of a connection: each ends once."""

import pytest

from aoii.broker.publishes import Publishes


def test_each_publish_ends_once_whether_the_answer_or_its_id_comes_first() -> None:
    ended: list[tuple[object, int | None]] = []
    publishes = Publishes(lambda token, reason: ended.append((token, reason)))

    publishes.finish(2, 16)
    assert publishes.add(1, "one", 10)
    assert publishes.add(2, "two", 20)
    publishes.finish(1, 0)

    assert ended == [("two", 16), ("one", 0)]
    assert publishes.close() is None


def test_the_end_of_the_connection_ends_all_and_names_the_size_of_the_oldest() -> None:
    ended: list[tuple[object, int | None]] = []
    publishes = Publishes(lambda token, reason: ended.append((token, reason)))
    for mid, size in ((1, 0), (2, 500), (3, 400)):  # size 0: QoS 0, which no broker answers
        publishes.add(mid, mid, size)

    assert publishes.close() == 500

    assert ended == [(1, None), (2, None), (3, None)]
    assert publishes.close() is None
    assert not publishes.add(4, 4, 1)


@pytest.mark.parametrize("is_early", [False, True])
def test_a_size_that_the_broker_has_answered_before_is_not_what_it_stumbled_over(is_early: bool) -> None:
    publishes = Publishes(lambda token, reason: None)
    if is_early:
        publishes.finish(1, 0)
    publishes.add(1, "one", 500)
    if not is_early:
        publishes.finish(1, 0)
    publishes.add(2, "two", 500)

    assert publishes.close() is None
