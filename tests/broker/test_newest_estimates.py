"""One estimate a node, whichever gateways make them."""

from hypothesis import given
from hypothesis import strategies as st

from aoii.broker.messages import Estimate
from aoii.broker.newest_estimates import SILENT_S, NewestEstimates


def made(gateway: str | None, epoch: int | None, counter: int | None, node: str = "7") -> Estimate:
    return Estimate(gateway, node, "2026-05-04 03:02:01", 0.1, 20.0, 40.0, 1, None, epoch, counter)


def test_the_gateway_that_missed_the_last_packet_is_not_used() -> None:
    newest = NewestEstimates()

    assert newest.is_newest(made("attic", 2, 10), 0)
    assert newest.is_newest(made("cellar", 2, 11), 1)
    assert not newest.is_newest(made("attic", 2, 10), 60)
    assert newest.is_newest(made("cellar", 2, 11), 61)


def test_of_two_that_know_the_same_the_first_goes_on() -> None:
    newest = NewestEstimates()

    found = [
        newest.is_newest(made(gateway, 2, 10), minute)
        for minute in range(0, 600, 60)
        for gateway in ("attic", "cellar")
    ]

    assert found == [True, False] * 10


def test_a_new_epoch_is_newer_than_any_counter() -> None:
    newest = NewestEstimates()
    newest.is_newest(made("attic", 2, 1000), 0)

    assert newest.is_newest(made("cellar", 3, 1), 1)


def test_a_gateway_that_is_gone_for_good_does_not_hold_the_page_at_its_last_estimate() -> None:
    newest = NewestEstimates()
    newest.is_newest(made("attic", 2, 11), 0)

    assert not newest.is_newest(made("cellar", 2, 10), SILENT_S)
    assert newest.is_newest(made("cellar", 2, 10), SILENT_S + 1)
    assert newest.is_newest(made("cellar", 2, 10), SILENT_S + 61)


def test_one_gateway_is_always_used_even_if_its_count_goes_back() -> None:
    newest = NewestEstimates()

    assert newest.is_newest(made("attic", 2, 11), 0)
    assert newest.is_newest(made("attic", 2, 3), 60)
    assert newest.is_newest(made("attic", None, None), 120)


def test_a_gateway_that_names_no_reading_yields_to_one_that_does() -> None:
    newest = NewestEstimates()

    assert newest.is_newest(made("old", None, None), 0)
    assert newest.is_newest(made("new", 2, 1), 1)
    assert not newest.is_newest(made("old", None, None), 60)
    assert newest.is_newest(made("old", None, None), 60 + SILENT_S)


def test_nodes_do_not_touch_each_other() -> None:
    newest = NewestEstimates()
    newest.is_newest(made("attic", 2, 11, "7"), 0)

    assert newest.is_newest(made("cellar", 1, 1, "8"), 1)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5), st.integers(0, 120)), max_size=60))
def test_a_node_is_never_without_an_estimate_for_longer_than_a_silence_while_anybody_speaks(
    steps: list[tuple[str, int, int]],
) -> None:
    newest = NewestEstimates()
    now_s = used_s = 0
    for gateway, counter, wait_s in steps:
        now_s += wait_s
        if newest.is_newest(made(gateway, 1, counter), now_s):
            used_s = now_s
        assert now_s - used_s <= SILENT_S
