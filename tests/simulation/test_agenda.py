"""The agenda: events run in order of their time, one after the other, until the end."""

import asyncio
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from aoii.simulation.agenda import Agenda


def run(agenda: Agenda, end_ms: int = 10**9) -> list[int]:
    """Run an agenda without waiting; the instants at which it would have waited."""
    waited: list[int] = []

    async def wait_until(at_ms: int) -> None:
        waited.append(at_ms)

    asyncio.run(agenda.run(end_ms, wait_until))
    return waited


@given(st.lists(st.integers(0, 5), max_size=20))
def test_events_run_in_order_of_time_and_those_of_one_instant_as_they_were_scheduled(instants: list[int]) -> None:
    agenda, ran = Agenda(), list[tuple[int, int]]()

    def event(number: int) -> Callable[[int], None]:
        return lambda now_ms: ran.append((now_ms, number))

    for number, at_ms in enumerate(instants):
        agenda.schedule(at_ms, event(number))
    waited = run(agenda)

    assert ran == sorted((at_ms, number) for number, at_ms in enumerate(instants))
    assert waited == sorted(instants)


def test_an_event_may_schedule_the_next_and_the_end_stops_the_chain() -> None:
    agenda, ran = Agenda(), list[int]()

    def tick(now_ms: int) -> None:
        ran.append(now_ms)
        agenda.schedule(now_ms + 10, tick)

    agenda.schedule(0, tick)
    run(agenda, end_ms=40)

    assert ran == [0, 10, 20, 30]
    assert agenda.now_ms == 30


def test_no_event_runs_while_another_one_awaits_something() -> None:
    agenda, ran = Agenda(), list[str]()

    async def slow(_: int) -> None:
        ran.append("slow begins")
        await asyncio.sleep(0)
        ran.append("slow ends")

    agenda.schedule(1, slow)
    agenda.schedule(1, lambda _: ran.append("next"))
    run(agenda)

    assert ran == ["slow begins", "slow ends", "next"]
