"""The list of audits, on both engines."""

from collections.abc import Iterator

import pytest

from aoii.server import audits as module
from aoii.server.audits import Audits
from aoii.server.connection import open_pool
from aoii.server.db import open_database
from aoii.settings import Database as DatabaseSettings


@pytest.fixture
def audits(place: DatabaseSettings) -> Iterator[Audits]:
    open_database(place, migrate=True).close()
    pool = open_pool(place, create=False)
    yield Audits(pool)
    pool.close()


def test_audits_are_taken_in_their_order_and_again_until_they_have_ended(audits: Audits) -> None:
    assert (audits.next_request(), audits.last()) == (None, None)
    first, second = audits.request(False), audits.request(True)

    audits.begin(first)

    begun = audits.next_request()
    assert begun is not None
    assert (begun.id, begun.is_full, begun.started_at is None, begun.counts) == (first, False, False, {})
    audits.finish(first, {"open": 3})
    following = audits.next_request()
    assert following is not None
    assert (following.id, following.is_full, following.started_at) == (second, True, None)


def test_what_an_audit_found_can_be_read(audits: Audits) -> None:
    number = audits.request(True)
    audits.request(False)

    audits.finish(number, {"open": 3, "void": 10**12})

    last = audits.last()
    assert last is not None
    assert last == audits.find(number)
    assert (last.id, last.counts, last.finished_at is None) == (number, {"open": 3, "void": 10**12}, False)
    assert audits.find(number + 9) is None


def test_the_list_does_not_grow_for_ever(audits: Audits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    numbers = [audits.request(False) for _ in range(4)]

    for number in numbers[1:]:
        audits.finish(number, {})

    assert [audits.find(number) is not None for number in numbers] == [True, False, True, True]
