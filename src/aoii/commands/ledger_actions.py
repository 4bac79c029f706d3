"""What `aoii ledger` does: counts, and prints a table or records for programs."""

import contextlib
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from aoii.broker.messages import Identity
from aoii.commands.progress import Progress
from aoii.core.errors import InputError, UnavailableError
from aoii.server.db import open_database
from aoii.server.dead_letters.letters import read_identities
from aoii.server.ledger import PARTS, Account, account, accounts_by_day
from aoii.server.ledger_facts import open_facts
from aoii.settings import Settings

Form = Literal["table", "json", "csv"]

COLUMNS = ("node", "epoch", "day", "first", "last", *PARTS, "is_balanced")


def print_ledger(settings: Settings, node: str | None, by_days: bool, form: Form) -> int:
    """Print the accounts of a node, or of all; return the exit code: 1 if one is not balanced or something is open.

    Raises:
        InputError: Nothing is known of the node.
        DatabaseAway: The database is away.
    """
    accounts = _read(settings, node, by_days)
    if node is not None and not accounts:
        raise InputError(f"nothing is known of node {node!r}", "`aoii ledger` lists the nodes")
    if form == "json":
        for one in accounts:
            print(json.dumps(_record(one)))
    elif form == "csv":
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_record, accounts))
    else:
        for line in _table(accounts, by_days):
            print(line)
    print(_verdict(accounts), file=sys.stdout if form == "table" else sys.stderr)
    return int(not all(one.is_balanced for one in accounts) or any(one.open for one in accounts))


def _read(settings: Settings, node: str | None, by_days: bool) -> list[Account]:
    """The accounts of a node, or of all, in the order of their lines."""
    identities: list[Identity] = []
    try:
        identities = read_identities(settings.server.dead_letter_path)
    except UnavailableError as error:
        print(f"aoii ledger: without dead letters, which count as waiting: {error}", file=sys.stderr)
    with (
        contextlib.closing(open_database(settings.database)) as database,
        Progress("rows counted") as progress,
        open_facts(database.pool, identities, node, progress.add) as found,
    ):
        accounts: list[Account] = []
        for key in found.keys:
            if by_days:
                days = found.days(key)
                accounts += accounts_by_day(found.facts(key, [last for _, last in days]), days)
            else:
                accounts.append(account(found.facts(key)))
        return accounts


def _record(one: Account) -> dict[str, object]:
    """An account for programs."""
    return {name: getattr(one, name) for name in COLUMNS} | {"day": one.day and one.day.isoformat()}


def _table(accounts: Sequence[Account], by_days: bool) -> Iterator[str]:
    """The lines of the table: a header, the accounts, and their sum if there are several."""
    if not accounts:
        return
    lines = [
        ["NODE", "EPOCH", *(["DAY"] if by_days else []), "NUMBERS", *(part.replace("_", " ").upper() for part in PARTS)]
    ]
    for one in accounts:
        day = [one.day.isoformat() if one.day else "later"] if by_days else []
        numbers = f"{one.first:,}-{one.last:,}" if one.last >= one.first else "none"
        parts = [f"{count:,}" if (count := getattr(one, part)) else "-" for part in PARTS]
        mark = [] if one.is_balanced else ["NOT BALANCED"]
        lines.append([one.node, str(one.epoch), *day, numbers, *parts, *mark])
    if len(accounts) > 1:
        total = sum(one.last - one.first + 1 for one in accounts)
        sums = [sum(getattr(one, part) for one in accounts) for part in PARTS]
        lines.append(
            ["all", "", *([""] if by_days else []), f"{total:,}", *(f"{one:,}" if one else "-" for one in sums)]
        )
    widths = [max(len(line[at]) for line in lines if at < len(line)) for at in range(max(map(len, lines)))]
    texts = 3 if by_days else 2  # columns of text, which begin at the left
    for line in lines:
        cells = (
            cell.ljust(width) if at < texts else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=False))
        )
        yield "  ".join(cells).rstrip()


def _verdict(accounts: Sequence[Account]) -> str:
    """What the accounts mean, in one or two sentences."""
    if not accounts:
        return "the ledger is empty: the database has no reading with a node and a number"
    wrong = sorted({f"{one.node}, epoch {one.epoch}" for one in accounts if not one.is_balanced})
    if wrong:
        return (
            f"NOT balanced: node {'; node '.join(wrong)}. Numbers are in two parts or in none: the tables readings, "
            "gaps or floors were changed by hand, or aoii has a fault: please report it with `aoii ledger --json`"
        )
    counts = counts_text(accounts, ("waiting", "open", "unknown", "lost"))
    return "balanced: " + (f"every number is in one part; {counts}" if counts else "every number is accounted for")


def counts_text(accounts: Iterable[Account], parts: Sequence[str]) -> str:
    """How many numbers are in these parts, of those that are not empty."""
    found = list(accounts)
    sums = {part: sum(getattr(one, part) for one in found) for part in parts}
    return ", ".join(f"{count:,} {part.replace('_', ' ')}" for part, count in sums.items() if count)
