"""Shrinks a history that fails: to fewer faults, shorter ones and fewer machines, as long as it fails."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from histories.plans import Plan

SHORTEST_MS = 60_000


def shrink(plan: Plan, fails: Callable[[Plan], bool]) -> Plan:
    """A plan that fails as well, and of which nothing more can be left out."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _smaller(plan):
            if fails(smaller):
                plan, is_smaller = smaller, True
                break
    return plan


def _smaller(plan: Plan) -> Iterator[Plan]:
    for fault in plan.faults:
        yield plan.without((fault,))
    if plan.nodes > 1:
        yield replace(plan, nodes=plan.nodes - 1)
    if plan.gateways > 1:
        yield replace(plan, gateways=1)
    for number, fault in enumerate(plan.faults):
        if fault.lasts_ms > SHORTEST_MS:
            shorter = replace(fault, lasts_ms=max(SHORTEST_MS, fault.lasts_ms // 4))
            yield replace(plan, faults=(*plan.faults[:number], shorter, *plan.faults[number + 1 :]))
