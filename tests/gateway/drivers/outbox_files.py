"""Outbox files for tests."""

import contextlib
import functools
import subprocess
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from aoii.broker.messages import Identity
from aoii.gateway.drivers.outbox_file import OutboxFile
from aoii.gateway.drivers.outbox_transaction import Transaction
from aoii.gateway.outbox import Fetch
from aoii.gateway.readings import Item

MEGABYTE = 1 << 20


ALL = Fetch(0, 1_000_000)


def who(counter: int) -> Identity:
    return Identity("7", 1, counter)


def add(store: OutboxFile, counter: int, payload: bytes = b"payload", digest: str = "d") -> "Future[Item | None]":
    return store.submit(lambda transaction: transaction.insert(who(counter), digest, 1, payload, 1000 + counter))


def counters(store: OutboxFile) -> list[int]:
    items, _, _ = store.submit(lambda transaction: transaction.fetch(ALL)).result()
    return [item.identity.counter for item in items]


@contextlib.contextmanager
def opened(path: Path, max_bytes: int = 16 * MEGABYTE, keep_bytes: int = 0) -> Iterator[OutboxFile]:
    store = OutboxFile(path, max_bytes, keep_bytes=keep_bytes)
    try:
        yield store
    finally:
        store.close()


@contextlib.contextmanager
def held(store: OutboxFile) -> Iterator[None]:
    """Keep the store's thread busy, so that what is submitted meanwhile goes into one commit."""
    gate = threading.Event()
    store.submit(lambda _: gate.wait(10))
    yield
    gate.set()


def filled(path: Path, count: int) -> None:
    with opened(path) as store, held(store):
        for counter in range(1, count + 1):
            add(store, counter, b"reading %06d" % counter + bytes(400))
        store.submit(lambda transaction: transaction.set_state("7", b"state"))


@contextlib.contextmanager
def disk(parent: Path, megabytes: int) -> Iterator[Path]:
    """A file system of its own, of this size; skips the test where none may be mounted."""
    folder = parent / "disk"
    folder.mkdir()
    size = f"size={megabytes}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def keep(store: OutboxFile, counters: Iterable[int], since_ms: int) -> None:
    """Accept readings of 1 kB, `counter` ms after an instant, and acknowledge them, so that they are kept."""
    numbers = list(counters)

    def accept(transaction: Transaction) -> None:
        for one in numbers:
            transaction.insert(who(one), "d", 1, bytes(1000), since_ms + one)

    store.submit(accept).result()
    store.submit(functools.partial(Transaction.delete, identities=[who(one) for one in numbers])).result()
