"""Shrinks a history that fails: to fewer faults, shorter ones and fewer machines, as long as it fails."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from histories.outlines import Outline

SHORTEST_MS = 60_000


def shrink(outline: Outline, fails: Callable[[Outline], bool]) -> Outline:
    """A outline that fails as well, and of which nothing more can be left out."""
    is_smaller = True
    while is_smaller:
        is_smaller = False
        for smaller in _smaller(outline):
            if fails(smaller):
                outline, is_smaller = smaller, True
                break
    return outline


def _smaller(outline: Outline) -> Iterator[Outline]:
    for fault in outline.faults:
        yield outline.without((fault,))
    if outline.nodes > 1:
        yield replace(outline, nodes=outline.nodes - 1)
    if outline.gateways > 1:
        yield replace(outline, gateways=1)
    for number, fault in enumerate(outline.faults):
        if fault.lasts_ms > SHORTEST_MS:
            shorter = replace(fault, lasts_ms=max(SHORTEST_MS, fault.lasts_ms // 4))
            yield replace(outline, faults=(*outline.faults[:number], shorter, *outline.faults[number + 1 :]))
