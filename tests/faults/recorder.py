"""What was sent and what the radio was told: the only truth that a trial is counted against.

It lives in the campaign's own process, which no fault touches, and asks no station anything.
"""

import threading
from collections.abc import Iterable
from typing import NamedTuple


class Key(NamedTuple):
    """Identity of a reading."""

    node: str
    epoch: int
    counter: int


class Content(NamedTuple):
    """What a reading says, in hundredths of °C and %RH; compared whole, which is stronger than any digest of it."""

    temperature_c: int
    humidity_c: int


class Recorder:
    """Readings by identity; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: dict[Key, set[Content]] = {}
        self._accepted: set[Key] = set()
        self._unread: list[Key] = []

    def note_sent(self, key: Key, content: Content) -> None:
        """To be called before the first byte leaves."""
        with self._lock:
            self._sent.setdefault(key, set()).add(content)

    def note_accepted(self, key: Key) -> None:
        """The radio was told that this reading is safe."""
        with self._lock:
            if key not in self._accepted:
                self._accepted.add(key)
                self._unread.append(key)

    def contents(self, key: Key) -> frozenset[Content]:
        """What was sent under an identity: one content, more where a trial lied on purpose, none if it is spurious."""
        with self._lock:
            return frozenset(self._sent.get(key, ()))

    def new_accepted(self) -> list[Key]:
        """What was accepted since the last call."""
        with self._lock:
            new, self._unread = self._unread, []
            return new

    def all_sent(self) -> set[Key]:
        """Everything that was sent, or may have been."""
        with self._lock:
            return set(self._sent)

    def all_accepted(self) -> set[Key]:
        """Everything that was accepted."""
        with self._lock:
            return set(self._accepted)

    @property
    def accepted(self) -> int:
        """Number of readings that the radio was told are safe."""
        return len(self._accepted)

    def are_accepted(self, keys: Iterable[Key]) -> bool:
        """Whether the radio was told of all of them."""
        with self._lock:
            return self._accepted.issuperset(keys)
