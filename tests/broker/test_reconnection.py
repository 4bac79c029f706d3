"""The waits between connections, and what the end of a connection means."""

import pytest

from aoii.broker.reconnection import LASTED_S, SHORT_LAST_S, SHUTTING_DOWN, TAKEN_OVER, TOO_LARGE, Reconnection


def new() -> Reconnection:
    return Reconnection("aoii-gateway-roof", "give each gateway its own GATEWAY_ID")


def test_connections_that_the_broker_soon_ends_are_made_ever_more_seldom() -> None:
    one = new()

    waits = [one.wait_after_end(0.1, by_us=False) for _ in range(12)]

    assert waits == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60]
    assert one.short == 12


def test_only_a_connection_that_lasted_begins_again_with_short_waits() -> None:
    one = new()
    for _ in range(10):
        one.wait_after_end(LASTED_S - 1, by_us=False)

    assert one.wait_after_end(LASTED_S - 1, by_us=False) == SHORT_LAST_S
    assert one.wait_after_end(LASTED_S, by_us=False) == 0.25
    assert one.short == 0


def test_a_rival_that_waits_as_we_do_does_not_make_a_connection_last() -> None:
    assert LASTED_S > SHORT_LAST_S


def test_a_broker_that_is_away_explains_why_a_connection_was_short() -> None:
    one = new()
    for _ in range(10):
        one.wait_after_end(0.1, by_us=False)
        assert one.wait_after_failure(is_reached=False) == 0.5

    assert one.short == 0


def test_a_broker_that_is_away_is_tried_every_few_seconds() -> None:
    one = new()

    assert [one.wait_after_failure(is_reached=False) for _ in range(7)] == [0.5, 1, 2, 4, 5, 5, 5]


def test_what_we_end_ourselves_does_not_count() -> None:
    one = new()

    assert [one.wait_after_end(0.1, by_us=True) for _ in range(5)] == [0.25] * 5
    assert one.short == 0


def test_a_session_that_was_taken_over_names_the_id_and_the_setting() -> None:
    cause = str(new().cause(TAKEN_OVER, "Session taken over"))

    assert "aoii-gateway-roof" in cause
    assert "GATEWAY_ID" in cause


def test_a_packet_that_is_too_large_names_the_brokers_setting() -> None:
    assert "max_packet_size" in str(new().cause(TOO_LARGE, "Packet too large"))


def test_any_other_reason_is_passed_on() -> None:
    assert "Quota exceeded" in str(new().cause(151, "Quota exceeded"))


@pytest.mark.parametrize("code", [None, SHUTTING_DOWN])
def test_a_single_end_without_a_reason_has_no_cause(code: int | None) -> None:
    one = new()
    one.wait_after_end(1, by_us=False)

    assert one.cause(code, "?") is None


def test_after_some_short_connections_without_a_word_the_likely_cause_is_named_and_stays_the_same() -> None:
    one = new()
    for _ in range(3):
        one.wait_after_end(1, by_us=False)
    first = str(one.cause(None, "Unspecified error"))
    one.wait_after_end(1, by_us=False)

    assert "aoii-gateway-roof" in first
    assert "GATEWAY_ID" in first
    assert str(one.cause(None, "Unspecified error")) == first
