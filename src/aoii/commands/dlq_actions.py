"""What `aoii dlq` does: print dead letters, insert them again, or delete them.

Both stations may be running. A letter that fails its checksum is never inserted.
"""

import contextlib
import json
import logging
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence

from aoii.commands.dlq_stores import PAGE, Entry, StoreName, Stores
from aoii.core.errors import InputError
from aoii.server import ranges
from aoii.server.connection import ConnectionPool
from aoii.server.database_errors import DatabaseAway
from aoii.server.db import open_database
from aoii.server.dead_letters.replay import replay
from aoii.server.gaps import Gap, Gaps, NodeEpoch
from aoii.settings import Settings

log = logging.getLogger(__name__)

REPLAYED_BY_SERVER = "database_away"
KEEPS_ITS_NUMBER = ("mismatch", "corrupt")  # another reading has the number; nobody knows whose number it is
ERASED_READINGS = 3  # with repeated numbers, from which on their node is named, as at the gateway
COLUMNS = ("STORE", "ID", "IDENTITY", "REASON", "FIRST", "LAST", "ATTEMPTS")
WIDTHS = (8, 6, 26, 14, 21, 21, 8)


def print_list(settings: Settings, store: StoreName | None, reason: str | None, as_json: bool) -> int:
    """Print one line for each letter; return the exit code."""
    count = 0
    repeats: Counter[tuple[str, int]] = Counter()  # by node and epoch
    with Stores(settings, store, False) as stores:
        for trouble in stores.troubles:
            print(trouble, file=sys.stderr)
        for count, entry in enumerate(stores.all(reason), 1):
            if (who := _repeats_number(entry)) is not None:
                repeats[who] += 1
            if as_json:
                print(json.dumps(entry.fields(), ensure_ascii=False))
                continue
            if count == 1:
                print(_row(COLUMNS))
            fields = entry.fields() | {"identity": entry.identity}
            print(_row([str(fields[column.lower()]) for column in COLUMNS]))
    print(f"{count:,} dead letter{'' if count == 1 else 's'}" if count else "no dead letters", file=sys.stderr)
    for (node, epoch), times in repeats.items():
        if times >= ERASED_READINGS:
            print(f"node {node} has repeated {times:,} numbers of its epoch {epoch}: {_erased(node)}", file=sys.stderr)
    return 0


def _repeats_number(entry: Entry) -> tuple[str, int] | None:
    """Node and epoch of a letter whose counter one of our own nodes had used before; None for any other letter."""
    node, epoch = entry.letter.node, entry.letter.epoch
    is_repeated = entry.letter.reason == "mismatch" and node is not None and node.isdecimal()
    return (node, epoch) if is_repeated and node is not None and epoch is not None else None


def _erased(node: str) -> str:
    """The likely cause of repeated numbers, and the cure."""
    return (
        "its flash was erased, or two boards have its key; give it a new key and epoch (aoii node "
        f"replace {node}), then drop these letters"
    )


def print_letter(settings: Settings, store: StoreName | None, name: str, as_json: bool) -> int:
    """Print everything about one letter; return the exit code.

    Raises:
        InputError: `name` is not the name of one letter.
    """
    with Stores(settings, store, False) as stores:
        (entry,) = stores.choose([name], None)
    fields = entry.fields()
    if as_json:
        print(json.dumps(fields, ensure_ascii=False))
        return 0
    fields |= {"letter": entry.name, "identity": entry.identity}
    for label in ("letter", "identity", "reason", "detail", "first", "last", "attempts"):
        print(f"{label:<9} {_printable(str(fields[label]))}")
    if (who := _repeats_number(entry)) is not None:
        print(f"hint      if node {who[0]} does this again and again: {_erased(who[0])}")
    payload = entry.letter.payload
    print(f"payload, {len(payload)} bytes:")
    print(_printable(payload.decode(errors="backslashreplace")))
    return 0


def replay_letters(settings: Settings, store: StoreName | None, names: Sequence[str], reason: str | None) -> int:
    """Insert letters again, those named or all with a reason; return the exit code, 1 if one stays.

    Raises:
        InputError: A letter that was named does not exist or cannot be replayed.
        DatabaseAway: The database takes nothing now. Nothing has changed.
    """
    with Stores(settings, store, True) as stores:
        entries = stores.choose(names, reason)
        chosen = [entry for entry in entries if not _is_barred(entry, is_named=bool(names))]
        if len(entries) > len(chosen):
            print(f"{len(entries) - len(chosen):,} not for replay: corrupt, or replayed by the server itself")
        if stores.server is None or not chosen:
            print("nothing to replay")
            return 0
        stayed = retired = 0
        with contextlib.closing(open_database(settings.database)) as database:
            for begin in range(0, len(chosen), PAGE):
                page = chosen[begin : begin + PAGE]
                deliveries = replay(database, stores.server, [entry.letter for entry in page])
                for entry, delivery in zip(page, deliveries, strict=True):
                    stayed += not delivery.is_done
                    retired += delivery.status == "retired"
                    ending = "" if delivery.is_done else ", stays"
                    print(f"{entry.name}  {entry.identity}  {delivery.status}{ending}")
    dropped = f", {retired:,} retired and not stored" if retired else ""
    print(f"{len(chosen) - stayed - retired:,} in the database{dropped}, {stayed:,} stay", file=sys.stderr)
    return int(stayed > 0)


def _is_barred(entry: Entry, *, is_named: bool) -> bool:
    """Whether a letter cannot be replayed by hand. Raises InputError for one that was named."""
    if entry.letter.reason == "corrupt":
        problem, remedy = "is corrupt and cannot be inserted", "look at it with show, then drop it"
    elif entry.letter.reason == REPLAYED_BY_SERVER:
        problem, remedy = "waits for the database", "leave it: the server replays it by itself"
    else:
        return False
    if is_named:
        raise InputError(f"{entry.name} {problem}", remedy)
    return True


def drop_letters(
    settings: Settings, store: StoreName | None, names: Sequence[str], reason: str | None, is_agreed: bool
) -> int:
    """Delete letters, those named or all with a reason, after asking; each is written to the log.

    The database first records their numbers as retired: otherwise the next audit would ask for them, and a gateway
    that still has the readings would send them again.

    Returns:
        The exit code: 1 if the answer was no or a letter has changed meanwhile and stays.

    Raises:
        DatabaseAway: The database cannot record the numbers; the letters that remain are kept.
        InputError: A letter that was named does not exist, or standard input is not a terminal and `is_agreed` is not
            set.
    """
    with Stores(settings, store, True) as stores:
        entries = stores.choose(names, reason)
        if not names and reason is None:  # dropped only when asked for by reason: the server will insert them
            entries = [entry for entry in entries if entry.letter.reason != REPLAYED_BY_SERVER]
        if not entries:
            print("nothing to drop")
            return 0
        if not is_agreed and not _confirm(entries):
            print("nothing dropped")
            return 1
        dropped = 0
        with contextlib.closing(open_database(settings.database)) as database:  # not used if no letter has a number
            for begin in range(0, len(entries), PAGE):  # the station waits for each page, and gives up after 5 s
                page = entries[begin : begin + PAGE]
                _retire(database.pool, page)
                dropped += _drop(stores, page)
    changed = len(entries) - dropped
    print(f"{dropped:,} dropped" + (f", {changed:,} changed meanwhile and kept" if changed else ""))
    return int(changed > 0)


def _retire(pool: ConnectionPool, entries: Sequence[Entry]) -> None:
    """Record in the database that nobody should look for the numbers of these letters.

    Raises:
        DatabaseAway: The database is away; nothing was recorded.
    """
    numbers: dict[NodeEpoch, list[tuple[int, int]]] = defaultdict(list)
    for letter in (entry.letter for entry in entries if entry.letter.reason not in KEEPS_ITS_NUMBER):
        if letter.node is not None and letter.epoch is not None and letter.counter is not None:
            numbers[letter.node, letter.epoch].append((letter.counter, letter.counter))
    gaps = [
        Gap(*key, *each, "retired", "dead letter dropped")
        for key, all_ in numbers.items()
        for each in ranges.united(all_)
    ]
    if not gaps:
        return
    try:
        Gaps(pool).record(gaps)
    except DatabaseAway as error:
        problem = f"dead letters stay until the database can record that nobody should look for them: {error.problem}"
        raise DatabaseAway(error.reason, problem, error.remedy) from error


def _drop(stores: Stores, entries: Sequence[Entry]) -> int:
    """Delete and log the letters that have not changed meanwhile; return their number."""
    gone: set[tuple[StoreName, int]] = set()
    if stores.server is not None:
        letters = [entry.letter for entry in entries if entry.damaged is None]
        gone |= {("server", letter.id) for letter in stores.server.drop(letters)}
    if stores.gateway is not None:
        rows = [entry.damaged for entry in entries if entry.damaged is not None]
        gone |= {("gateway", row.id) for row in stores.gateway.drop(rows)}
    for entry in entries:
        if (entry.store, entry.letter.id) in gone:
            log.warning("dead letter dropped", extra={"event": "dead_letter_dropped"} | _log_fields(entry))
    return len(gone)


def _confirm(entries: Sequence[Entry]) -> bool:
    if not sys.stdin.isatty():
        raise InputError("drop asks first, and standard input is not a terminal", "add --yes if you are sure")
    reasons = Counter(entry.letter.reason for entry in entries)
    counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    answer = input(f"Drop {counts}? They exist nowhere else and cannot be brought back. [y/N] ")
    return answer.strip().lower() in ("y", "yes")


def _log_fields(entry: Entry) -> dict[str, object]:
    """All of a letter on one line, whatever its sender has put into it."""
    fields = entry.fields() | {"payload": entry.letter.payload.decode(errors="backslashreplace")}
    del fields["payload_base64"]
    return {name: _printable(value) if isinstance(value, str) else value for name, value in fields.items()}


def _row(values: Sequence[str]) -> str:
    """A line of the list."""
    return "  ".join(_printable(value).ljust(width) for value, width in zip(values, WIDTHS, strict=True)).rstrip()


def _printable(text: str) -> str:
    """Text that is safe to print: control characters from a payload are escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
