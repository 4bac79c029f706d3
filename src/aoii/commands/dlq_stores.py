"""The dead letters of both stores on a machine as one list: the server's, and the gateway's corrupt readings.

Either store may be missing, and both stations may be running. Nothing here makes or salvages a file; its station does
that when it starts.
"""

import base64
import contextlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aoii.core.errors import InputError, UnavailableError
from aoii.gateway.drivers.quarantine import Damaged, Quarantine
from aoii.server.dead_letters.letters import DeadLetter, Letters, open_letters
from aoii.settings import Settings

StoreName = Literal["server", "gateway"]
STORES: tuple[StoreName, ...] = ("server", "gateway")

PAGE = 500  # letters that are read, replayed or deleted at once
DAMAGED = "the row failed its checksum in the outbox"


@dataclass(frozen=True)
class Entry:
    """A dead letter of either store.

    Attributes:
        store: The store that it is in.
        letter: The letter; a damaged reading of the gateway is put into the form of one.
        damaged: The reading as the gateway keeps it; None for a letter of the server.
    """

    store: StoreName
    letter: DeadLetter
    damaged: Damaged | None = None

    @property
    def name(self) -> str:
        """Its name on the command line, such as `server:12`."""
        return f"{self.store}:{self.letter.id}"

    @property
    def identity(self) -> str:
        """Node, epoch and counter; `-` without identity."""
        letter = self.letter
        return "-" if letter.node is None else f"{letter.node}/{letter.epoch}/{letter.counter}"

    def fields(self) -> dict[str, object]:
        """All of it for JSON; a payload that is not text is in `payload_base64` alone."""
        letter, text = self.letter, None
        with contextlib.suppress(UnicodeDecodeError):
            text = letter.payload.decode()
        return {
            "store": self.store,
            "id": letter.id,
            "node": letter.node,
            "epoch": letter.epoch,
            "counter": letter.counter,
            "reason": letter.reason,
            "detail": letter.detail,
            "first": utc_text(letter.first_unix_ms),
            "last": utc_text(letter.last_unix_ms),
            "attempts": letter.attempts,
            "payload": text,
            "payload_base64": None if text is not None else base64.b64encode(letter.payload).decode(),
        }


class Stores:
    """The stores that exist, of those asked for; use it as a context manager.

    Args:
        settings: Where the stores are.
        wanted: One store; None for both.
        writes: Whether letters will be changed or removed.

    Attributes:
        server: The server's letters; None if they are not wanted or cannot be opened.
        gateway: The gateway's quarantine; None likewise.
        troubles: A sentence for each store that cannot be opened while the other one can.

    Raises:
        UnavailableError: None of them can be opened.
    """

    def __init__(self, settings: Settings, wanted: StoreName | None, writes: bool) -> None:
        paths: dict[StoreName, Path] = {
            "server": settings.server.dead_letter_path,
            "gateway": settings.gateway.outbox_path,
        }
        self.server: Letters | None = None
        self.gateway: Quarantine | None = None
        self.troubles: list[str] = []
        for name in STORES if wanted is None else (wanted,):
            path = paths[name]
            if not path.exists():
                self.troubles.append(f"{name}: {path} does not exist")
                continue
            try:
                if name == "server":
                    self.server = open_letters(path, writes)
                else:
                    self.gateway = Quarantine(path, writes)
            except UnavailableError as error:
                self.troubles.append(str(error))
        if self.server is None and self.gateway is None:
            raise UnavailableError(
                "no store of dead letters can be opened",
                "run this where the station runs, with its .env\n  " + "\n  ".join(self.troubles),
            )

    def __enter__(self) -> "Stores":
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (self.server, self.gateway):
            if opened is not None:
                opened.close()

    def choose(self, names: Iterable[str], reason: str | None) -> list[Entry]:
        """The letters with these names, each once; without names all letters with `reason`, or with any for None.

        Raises:
            InputError: A name does not look like `server:12` or `12`, names no letter, or names one in each store.
        """
        named = {entry.name: entry for entry in map(self._find, names)}
        return list(named.values()) or list(self.all(reason))

    def all(self, reason: str | None) -> Iterator[Entry]:
        """Every letter with `reason`, or with any for None: the server's first, by number."""
        if self.server is not None:
            last_id = 0
            while page := self.server.letters(PAGE, last_id):
                yield from (Entry("server", letter) for letter in page if reason in (None, letter.reason))
                last_id = page[-1].id
        if self.gateway is not None and reason in (None, "corrupt"):
            yield from map(_of_gateway, self.gateway.rows())

    def _find(self, name: str) -> Entry:
        match = re.fullmatch(r"(?:(server|gateway):)?([0-9]{1,18})", name)
        if match is None:
            raise InputError(f"{name!r} is not a dead letter", "name one as `aoii dlq list` does, such as server:12")
        wanted, id_ = match[1], int(match[2])
        found = []
        if self.server is not None and wanted != "gateway" and (letter := self.server.letter(id_)) is not None:
            found.append(Entry("server", letter))
        if self.gateway is not None and wanted != "server" and (row := self.gateway.row(id_)) is not None:
            found.append(_of_gateway(row))
        if not found:
            raise InputError(f"there is no dead letter {name}", "`aoii dlq list` shows those that are there")
        if len(found) > 1:
            raise InputError(f"{name} is in both stores", f"write {' or '.join(entry.name for entry in found)}")
        return found[0]


def utc_text(unix_ms: int) -> str:
    """ISO 8601 in whole seconds, UTC."""
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _of_gateway(row: Damaged) -> Entry:
    identity = row.node, row.epoch, row.counter
    # a damaged row has no digest and no valid checksum, and was found once
    letter = DeadLetter(row.id, "corrupt", DAMAGED, *identity, None, row.payload, row.found_ms, row.found_ms, 1, 0)
    return Entry("gateway", letter, row)
