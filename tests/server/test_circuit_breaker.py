"""The circuit breaker in front of the database: its table, and what the table of the documentation says."""

from pathlib import Path

import pytest

from aoii.core.errors import InternalError
from aoii.server.circuit_breaker import ANSWERED, FAILED, RULES, STORED, CircuitBreaker


def test_readings_become_dead_letters_at_once_while_the_database_is_away_and_get_one_try_when_it_answers() -> None:
    breaker = CircuitBreaker(max_retries=5)
    assert breaker.tries() == 0  # before the first answer

    steps = [
        (ANSWERED, 1),
        (STORED, 6),
        (ANSWERED, 6),
        (STORED, 6),
        (FAILED, 0),
        (ANSWERED, 1),
        (ANSWERED, 1),
        (FAILED, 0),  # a full table answers and takes nothing
        (ANSWERED, 1),
        (STORED, 6),
    ]

    for event, tries in steps:
        breaker.handle(event)
        assert breaker.tries() == tries


def test_the_table_of_the_documentation_is_the_table_of_the_breaker() -> None:
    page = Path(__file__).parents[2] / "docs" / "explanation" / "server.md"
    given = {0: "no try: dead letters at once", 1: "one try", 6: "all tries"}
    lines = []

    for (state, event), after in RULES.items():
        breaker = CircuitBreaker(max_retries=5)
        breaker.state = state
        breaker.handle(event)
        lines.append(f"| {state} | {event} | {after} | {given[breaker.tries()]} |")

    assert "\n".join(["|---|---|---|---|", *lines, ""]) in page.read_text(encoding="utf-8")


def test_the_breaker_tells_changes_from_repetitions() -> None:
    breaker = CircuitBreaker(max_retries=0)

    assert [breaker.handle(event) for event in (ANSWERED, ANSWERED, STORED, STORED)] == [
        True, False, True, False,
    ]  # fmt: skip


def test_an_insert_while_the_breaker_is_open_is_an_error_of_ours() -> None:
    with pytest.raises(InternalError):
        CircuitBreaker(max_retries=5).handle(STORED)
