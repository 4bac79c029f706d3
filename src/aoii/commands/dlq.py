"""`aoii dlq`: look at dead letters, put them through the insert once more, or forget them.

There are two stores on a machine, and either may be absent: the server's dead letters, and the readings that the
gateway's outbox gave up on. Both stations may be running. It refuses to make a file, to salvage one (that is the
station's), and to insert anything that fails its checksum.
"""

import base64
import contextlib
import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from aoii.core.errors import InputError, UnavailableError
from aoii.gateway.drivers.quarantine import Damaged, Quarantine
from aoii.server.db import open_database
from aoii.server.dead_letters.letters import DeadLetter, Letters, open_letters
from aoii.server.dead_letters.replay import replay
from aoii.settings import Settings

log = logging.getLogger(__name__)

StoreName = Literal["server", "gateway"]
STORES: tuple[StoreName, ...] = ("server", "gateway")

PAGE = 500
BY_ITSELF = "database_away"  # the server replays these without being asked
DAMAGED = "the row failed its checksum in the outbox"
COLUMNS = ("STORE", "ID", "IDENTITY", "REASON", "FIRST", "LAST", "ATTEMPTS")
WIDTHS = (8, 6, 26, 14, 21, 21, 8)

Say = Callable[[str], None]


@dataclass(frozen=True)
class Entry:
    """A dead letter of either store; `kept` is the store's own value."""

    store: StoreName
    id: int
    node: str | None
    epoch: int | None
    counter: int | None
    reason: str
    detail: str
    payload: bytes
    first_ms: int
    last_ms: int
    attempts: int
    kept: DeadLetter | Damaged

    @property
    def name(self) -> str:
        """How a person names it to us."""
        return f"{self.store}:{self.id}"

    @property
    def identity(self) -> str:
        """Node, epoch and counter; `-` without identity."""
        return "-" if self.node is None else f"{self.node}/{self.epoch}/{self.counter}"

    def fields(self) -> dict[str, object]:
        """For JSON; a payload that is no text comes as base64 alone."""
        text = _text(self.payload)
        return {
            "store": self.store,
            "id": self.id,
            "node": self.node,
            "epoch": self.epoch,
            "counter": self.counter,
            "reason": self.reason,
            "detail": self.detail,
            "first": _time(self.first_ms),
            "last": _time(self.last_ms),
            "attempts": self.attempts,
            "payload": text,
            "payload_base64": None if text is not None else base64.b64encode(self.payload).decode(),
        }


class Stores:
    """The stores that are there, of those asked for; use it as a context manager.

    Args:
        settings: Where they lie.
        wanted: One store; None for both.
        writes: Whether letters are to be changed or removed.
        complain: Told what is wrong with a store that cannot be opened, when both were asked for.

    Raises:
        UnavailableError: None of them can be opened.
    """

    def __init__(self, settings: Settings, wanted: StoreName | None, writes: bool, complain: Say) -> None:
        paths: dict[StoreName, Path] = {
            "server": settings.server.dead_letter_path,
            "gateway": settings.gateway.outbox_path,
        }
        self.server: Letters | None = None
        self.gateway: Quarantine | None = None
        troubles = []
        for name in STORES if wanted is None else (wanted,):
            path = paths[name]
            if not path.exists():
                troubles.append(f"{name}: {path} does not exist")
                continue
            try:
                if name == "server":
                    self.server = open_letters(path, writes)
                else:
                    self.gateway = Quarantine(path, writes)
            except UnavailableError as error:
                troubles.append(str(error))
        if self.server is None and self.gateway is None:
            raise UnavailableError(
                "no store of dead letters can be opened; run this where the station runs, with its .env\n  "
                + "\n  ".join(troubles)
            )
        for trouble in troubles:
            complain(trouble)

    def __enter__(self) -> "Stores":
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (self.server, self.gateway):
            if opened is not None:
                opened.close()

    def all(self, reason: str | None) -> Iterator[Entry]:
        """Every letter, of one reason or of all, the server's first, in the order of their numbers."""
        if self.server is not None:
            last_id = 0
            while page := self.server.letters(PAGE, last_id):
                yield from (_of_server(letter) for letter in page if reason in (None, letter.reason))
                last_id = page[-1].id
        if self.gateway is not None and reason in (None, "corrupt"):
            yield from map(_of_gateway, self.gateway.rows())

    def named(self, names: Iterable[str]) -> list[Entry]:
        """The letters that somebody named, `STORE:ID`, or `ID` where that is clear.

        Raises:
            InputError: One of them is not there, or is in both stores.
        """
        return [self._named(name) for name in dict.fromkeys(names)]

    def _named(self, name: str) -> Entry:
        match = re.fullmatch(r"(?:(server|gateway):)?([0-9]{1,18})", name)
        if match is None:
            raise InputError(f"{name!r} is no dead letter; name one as `aoii dlq list` does, such as server:12")
        wanted, id_ = match[1], int(match[2])
        found = []
        if self.server is not None and wanted != "gateway" and (letter := self.server.letter(id_)) is not None:
            found.append(_of_server(letter))
        if self.gateway is not None and wanted != "server" and (row := self.gateway.row(id_)) is not None:
            found.append(_of_gateway(row))
        if not found:
            raise InputError(f"there is no dead letter {name}; `aoii dlq list` shows those that are")
        if len(found) > 1:
            raise InputError(f"{name} is in both stores; write {' or '.join(entry.name for entry in found)}")
        return found[0]


def show_list(settings: Settings, store: StoreName | None, reason: str | None, as_json: bool) -> int:
    """Print one line for each letter; the exit code."""
    count = 0
    with Stores(settings, store, False, _complain) as stores:
        for entry in stores.all(reason):
            if as_json:
                print(json.dumps(entry.fields(), ensure_ascii=False))
            else:
                if not count:
                    print(_row(COLUMNS))
                print(_row((
                    entry.store, str(entry.id), entry.identity, entry.reason, _time(entry.first_ms),
                    _time(entry.last_ms), str(entry.attempts),
                )))  # fmt: skip
            count += 1
    print("no dead letters" if not count else f"{count:,} dead letter{'s'[: count != 1]}", file=sys.stderr)
    return 0


def show_one(settings: Settings, store: StoreName | None, name: str, as_json: bool) -> int:
    """Print everything about one letter; the exit code."""
    with Stores(settings, store, False, _ignore) as stores:
        (entry,) = stores.named([name])
    if as_json:
        print(json.dumps(entry.fields(), ensure_ascii=False))
        return 0
    for label, value in (
        ("letter", entry.name),
        ("identity", entry.identity),
        ("reason", entry.reason),
        ("detail", entry.detail),
        ("first", _time(entry.first_ms)),
        ("last", _time(entry.last_ms)),
        ("attempts", str(entry.attempts)),
    ):
        print(f"{label:<9} {_printable(value)}")
    print(f"payload, {len(entry.payload)} bytes:")
    print(_printable(entry.payload.decode(errors="backslashreplace")))
    return 0


def replay_letters(settings: Settings, store: StoreName | None, names: Sequence[str], reason: str | None) -> int:
    """Put letters through the insert once more, those named or all of a reason; the exit code: 1 when one stays.

    Raises:
        InputError: A letter that was named cannot be replayed.
        DatabaseAway: The database takes nothing now; nothing has changed.
    """
    with Stores(settings, store, True, _ignore) as stores, contextlib.ExitStack() as closing:
        entries = stores.named(names) if names else list(stores.all(reason))
        chosen = []
        for entry in entries:
            why_not = _why_not(entry)
            if why_not and names:
                raise InputError(f"{entry.name} {why_not}")
            if not why_not:
                chosen.append(entry)
        if len(entries) > len(chosen):
            print(f"{len(entries) - len(chosen):,} not for replay: corrupt, or the server's own to replay")
        if stores.server is None or not chosen:
            print("nothing to replay")
            return 0
        database = open_database(settings.database)
        closing.callback(database.close)
        stayed = 0
        for begin in range(0, len(chosen), PAGE):
            page = chosen[begin : begin + PAGE]
            letters = [entry.kept for entry in page if isinstance(entry.kept, DeadLetter)]
            for entry, delivery in zip(page, replay(database, stores.server, letters), strict=True):
                is_gone = delivery.is_in_table
                stayed += not is_gone
                print(f"{entry.name}  {entry.identity}  {delivery.status}{'' if is_gone else ', stays'}")
    print(f"{len(chosen) - stayed:,} in the database, {stayed:,} stay", file=sys.stderr)
    return int(stayed > 0)


def drop_letters(
    settings: Settings, store: StoreName | None, names: Sequence[str], reason: str | None, is_agreed: bool
) -> int:
    """Forget letters, those named or all of a reason, after asking; each is written to the log. The exit code.

    Raises:
        InputError: Nobody can be asked.
    """
    with Stores(settings, store, True, _ignore) as stores:
        entries = stores.named(names) if names else list(stores.all(reason))
        if not names and reason is None:  # readings that will be in the database: only for those who say so
            entries = [entry for entry in entries if entry.reason != BY_ITSELF]
        if not entries:
            print("nothing to drop")
            return 0
        if not is_agreed and not _agrees(entries):
            print("nothing dropped")
            return 1
        dropped = 0
        for begin in range(0, len(entries), PAGE):  # the station waits for each page, and gives up after 5 s
            dropped += _drop(stores, entries[begin : begin + PAGE])
    changed = len(entries) - dropped
    print(f"{dropped:,} dropped" + (f", {changed:,} changed meanwhile and kept" if changed else ""))
    return int(changed > 0)


def _drop(stores: Stores, entries: Sequence[Entry]) -> int:
    """Forget letters and write them to the log, but for those that have changed meanwhile; how many."""
    gone: set[tuple[StoreName, int]] = set()
    if stores.server is not None:
        letters = [entry.kept for entry in entries if isinstance(entry.kept, DeadLetter)]
        gone |= {("server", letter.id) for letter in stores.server.drop(letters)}
    if stores.gateway is not None:
        rows = [entry.kept for entry in entries if isinstance(entry.kept, Damaged)]
        gone |= {("gateway", row.id) for row in stores.gateway.drop(rows)}
    for entry in entries:
        if (entry.store, entry.id) in gone:
            log.warning("dead letter dropped", extra={"event": "dead_letter_dropped"} | _for_log(entry))
    return len(gone)


def _why_not(entry: Entry) -> str | None:
    """Why a letter cannot be replayed by hand, to follow its name; None when it can."""
    if entry.reason == "corrupt":
        return "is corrupt: nobody knows what it said, so it is not stored; look at it with show, then drop it"
    if entry.reason == BY_ITSELF:
        return "waits for the database; the server replays it by itself as soon as that takes rows"
    return None


def _agrees(entries: Sequence[Entry]) -> bool:
    if not sys.stdin.isatty():
        raise InputError("drop asks first, and here is nobody to ask; add --yes if you are sure")
    reasons: dict[str, int] = {}
    for entry in entries:
        reasons[entry.reason] = reasons.get(entry.reason, 0) + 1
    what = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    answer = input(f"Drop {what}? They are in no other place and cannot be brought back. [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _of_server(letter: DeadLetter) -> Entry:
    return Entry(
        "server", letter.id, letter.node, letter.epoch, letter.counter, letter.reason, letter.detail, letter.payload,
        letter.first_unix_ms, letter.last_unix_ms, letter.attempts, letter,
    )  # fmt: skip


def _of_gateway(row: Damaged) -> Entry:
    return Entry(
        "gateway", row.id, row.node, row.epoch, row.counter, "corrupt", DAMAGED, row.payload, row.found_ms,
        row.found_ms, 1, row,
    )  # fmt: skip


def _for_log(entry: Entry) -> dict[str, object]:
    """Everything about a letter, on one line whatever a stranger has put into it."""
    fields = entry.fields() | {"payload": entry.payload.decode(errors="backslashreplace")}
    del fields["payload_base64"]
    return {name: _printable(value) if isinstance(value, str) else value for name, value in fields.items()}


def _row(values: Sequence[str]) -> str:
    return "  ".join(_printable(value).ljust(width) for value, width in zip(values, WIDTHS, strict=True)).rstrip()


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _text(payload: bytes) -> str | None:
    with contextlib.suppress(UnicodeDecodeError):
        return payload.decode()
    return None


def _printable(text: str) -> str:
    """Text for a terminal, which must not obey what a stranger has published."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _complain(trouble: str) -> None:
    print(trouble, file=sys.stderr)


def _ignore(trouble: str) -> None:
    """Somebody named a letter; the store that is not there is not what they asked for."""
