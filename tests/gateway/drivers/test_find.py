"""Finding numbers in small parts, as a huge question is answered, says the same as finding them at once."""

import random
from pathlib import Path

import pytest

from aoii.broker.messages import Identity
from aoii.gateway.drivers import outbox_transaction
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.numbers import Stretch, stretches

LAST = 200
HUGE = 2**63 - 1


@pytest.mark.parametrize("seed", range(5))
def test_many_bounded_answers_together_are_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    waiting = sorted(chance.sample(range(LAST), 60))
    kept = sorted(chance.sample(sorted(set(range(LAST)) - set(waiting)), 60))
    ranges = [(first, first + chance.randrange(3)) for first in range(0, LAST, 5)]
    file = OutboxFile(tmp_path / "outbox.db", 64 << 20, keep_bytes=64 << 20)
    file.submit(lambda tx: add(tx, kept)).result()
    file.submit(lambda tx: tx.delete(Identity("7", 2, one) for one in kept)).result()
    file.submit(lambda tx: add(tx, waiting)).result()
    monkeypatch.setattr("aoii.gateway.drivers.kept_file.KeptFile.forgotten", lambda *args: forgotten(ranges, *args[3:]))
    monkeypatch.setattr(outbox_transaction, "FIND_LIMIT", 7)

    found: list[Stretch] = []
    while not found or found[-1].last < HUGE:
        first = found[-1].last + 1 if found else 0
        part = file.submit(lambda tx, first=first: tx.find("7", 2, first, HUGE)).result()  # type: ignore[misc]
        assert part[0].first == first
        found += part
    file.close()

    assert spelled(found) == spelled(list(stretches(0, HUGE, waiting, kept, ranges)))


def add(tx: Transaction, numbers: list[int]) -> None:
    for number in numbers:
        tx.insert(Identity("7", 2, number), "0" * 16, 1, b"x", 0)


def forgotten(ranges: list[tuple[int, int]], first: int, last: int, limit: int) -> list[tuple[int, int]]:
    return [one for one in ranges if one[0] <= last and one[1] >= first][:limit]


def spelled(found: list[Stretch]) -> dict[int, str]:
    """Where each number is, as far as any is held or was."""
    return {number: one.place for one in found for number in range(one.first, min(one.last, LAST + 10) + 1)}
