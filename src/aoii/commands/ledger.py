"""`aoii ledger`: what became of every number of every node, as a table or for programs."""

import argparse
import contextlib
import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence

from aoii.broker.messages import Identity
from aoii.commands.arguments import Commands, begin_command
from aoii.commands.progress import Progress
from aoii.core.errors import InputError, UnavailableError
from aoii.server.ledger import PARTS, Account, account, accounts_by_day
from aoii.settings import Settings

TEXT = """\
A node numbers its readings from 1 on, in each epoch. The ledger says what became of each number, in exactly one part:

  stored        it is a row of the database
  dead letters  it is a dead letter: see `aoii dlq`
  void          the node proved that no reading with it was ever acknowledged: nothing is missing
  waiting       nothing accounts for it yet: on its way, or not looked for yet; the server asks for it by itself
  open          the server has asked for it, and is waiting for an answer
  unknown       nobody can say whether there was a reading
  lost          a gateway once had the reading, and nobody has it now
  retired       removed on purpose, with `aoii retire` or `aoii dlq drop`

The sum of the parts must be the number of numbers: then the ledger is balanced. If it is not, the tables contradict
themselves. Readings without node and number, as from the older installation, are not in it.

Exit code: 0 balanced and nothing open; 1 not balanced, or something is open; 2 it could not be counted.
"""
EXAMPLES = """\
Nothing is changed. Ten million rows take about 20 s.

  aoii ledger                     one line for each node and epoch
  aoii ledger --node 7 --days     node 7, one line a day: when was it that readings were lost?
  aoii ledger --csv > ledger.csv  for a spreadsheet
"""
COLUMNS = ("node", "epoch", "day", "first", "last", *PARTS, "is_balanced")


def add_commands(commands: Commands) -> None:
    """Add `aoii ledger`."""
    ledger = commands.add_parser(
        "ledger",
        help="what became of every number of every node: stored, waiting, lost, ...",
        description=TEXT,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ledger.add_argument("--node", metavar="NAME", help="only this node")
    days = "one line for each day on which a node sampled, UTC; a number without a row counts for the next row's day"
    ledger.add_argument("--days", action="store_true", help=days)
    form = ledger.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    form.add_argument("--csv", action="store_true", help="CSV with a header")
    ledger.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    values = begin_command(options, "server")
    accounts = _read(values, options.node, options.days)
    if options.node is not None and not accounts:
        raise InputError(f"nothing is known of node {options.node!r}", "`aoii ledger` lists the nodes")
    if options.json:
        for one in accounts:
            print(json.dumps(_record(one)))
    elif options.csv:
        writer = csv.DictWriter(sys.stdout, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(_record, accounts))
    else:
        for line in _table(accounts, options.days):
            print(line)
    print(_verdict(accounts), file=sys.stderr if options.json or options.csv else sys.stdout)
    return int(not all(one.is_balanced for one in accounts) or any(one.open for one in accounts))


def _read(settings: Settings, node: str | None, by_days: bool) -> list[Account]:
    """The accounts of a node, or of all, in the order of their lines."""
    from aoii.server.db import open_database
    from aoii.server.dead_letters.letters import read_identities
    from aoii.server.ledger_facts import open_facts

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
