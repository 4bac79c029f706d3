"""What `aoii retire` does: decides how far the floors rise, asks, raises them, and deletes rows below them."""

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aoii.broker.messages import Identity
from aoii.commands.ledger_actions import counts_text
from aoii.commands.progress import Progress
from aoii.core.errors import InputError, UnavailableError
from aoii.server.connection import ConnectionPool
from aoii.server.database_errors import DatabaseAway
from aoii.server.db import open_database
from aoii.server.dead_letters.letters import read_identities
from aoii.server.gap import NodeEpoch
from aoii.server.ledger import PARTS, account_up_to
from aoii.server.ledger_facts import LedgerFacts, open_facts
from aoii.server.retirement import Floors, count_rows, delete_rows, highest_older
from aoii.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wish:
    """What the command line asks for.

    Attributes:
        node: None: all nodes.
        epoch: None: all epochs of the node.
        before: All numbers below this one.
        older_than_days: All numbers up to the last row that is older; None with `before` None: all that are known.
        is_deleting: Whether rows are deleted too.
    """

    node: str | None
    epoch: int | None
    before: int | None
    older_than_days: float | None
    is_deleting: bool


@dataclass(frozen=True)
class Step:
    """What is done for one node and epoch.

    Attributes:
        floor: The floor that it gets, or has.
        is_raised: Whether it gets it; otherwise only rows are deleted.
        text: What that means, for people.
    """

    key: NodeEpoch
    floor: int
    is_raised: bool
    text: str


def retire(settings: Settings, wish: Wish, is_agreed: bool) -> int:
    """Raise floors and maybe delete rows, after asking; return the exit code: 1 if the answer was no.

    Raises:
        InputError: The node or epoch is not known, the number is too high, or it is not clear which epoch is meant; or
            standard input is not a terminal and `is_agreed` is not set.
        DatabaseAway: The database is away. Floors that were raised stay raised, and deleted rows deleted.
    """
    with contextlib.closing(open_database(settings.database)) as database:
        with Progress("rows looked at") as progress:
            steps = list(_steps(database.pool, _identities(settings), wish, progress))
        if not steps:
            print("nothing to retire")
            return 0
        print("\n".join(step.text for step in steps))
        if not is_agreed and not _confirm(wish):
            print("nothing retired")
            return 1
        floors = Floors(database.pool).raise_floors({step.key: step.floor for step in steps if step.is_raised})
        for (node, epoch), floor in floors.items():
            fields = {"event": "numbers_retired", "node": node, "epoch": epoch, "floor": floor}
            log.warning("numbers retired", extra=fields)
        print("retired; what comes late is acknowledged and not stored")
        if wish.is_deleting:
            with Progress("rows deleted") as progress:
                deleted = sum(_delete(database.pool, step.key, progress) for step in steps)
            print(f"{deleted:,} rows deleted")
    return 0


def _delete(pool: ConnectionPool, key: NodeEpoch, progress: Progress) -> int:
    """Delete the rows up to a floor; return their number.

    Raises:
        DatabaseAway: As for `delete_rows`; if this user may not delete, with who may.
    """
    try:
        return delete_rows(pool, key, progress.add)
    except DatabaseAway as error:
        if error.reason != "refused":
            raise
        remedy = "give the same command as a user who may delete readings, such as aoii_admin; the floor stays"
        raise DatabaseAway(error.reason, error.problem, remedy) from error


def _identities(settings: Settings) -> list[Identity]:
    """Those of the dead letters, which are only counted; none if they are not on this machine."""
    with contextlib.suppress(UnavailableError):
        return read_identities(settings.server.dead_letter_path)
    return []


def _steps(pool: ConnectionPool, letters: Sequence[Identity], wish: Wish, progress: Progress) -> Iterator[Step]:
    with open_facts(pool, letters, wish.node, progress.add) as found:
        keys = [key for key in found.keys if wish.epoch in (None, key[1])]
        if wish.node is not None and not keys:
            of_epoch = "" if wish.epoch is None else f" in epoch {wish.epoch}"
            raise InputError(
                f"nothing is known of node {wish.node!r}{of_epoch}", "`aoii ledger` lists nodes and epochs"
            )
        if wish.before is not None and len(keys) > 1:
            epochs = ", ".join(str(epoch) for _, epoch in keys)
            raise InputError(f"node {wish.node} has numbers in the epochs {epochs}", "say which one with --epoch")
        for key in keys:
            step = _step(pool, found, key, wish, progress)
            if step is not None:
                yield step


def _step(pool: ConnectionPool, found: LedgerFacts, key: NodeEpoch, wish: Wish, progress: Progress) -> Step | None:
    """What is to be done for a node and epoch; None: nothing."""
    if wish.before is not None:
        wanted = wish.before - 1
        facts = found.facts(key, [wanted])
        if wanted > facts.last:
            raise InputError(
                f"--before {wish.before}: the highest number that is known of node {key[0]}, epoch {key[1]}, is "
                f"{facts.last}",
                f"--before {facts.last + 1} retires all numbers up to it",
            )
    elif wish.older_than_days is not None:
        instant = datetime.now(UTC) - timedelta(days=wish.older_than_days)
        wanted = highest_older(pool, key, instant, progress.add)
        facts = found.facts(key, [wanted])
    else:
        facts = found.facts(key)
        wanted = facts.last
    floor = max(wanted, facts.floor)
    rows = count_rows(pool, key, floor) if wish.is_deleting else 0
    if floor == facts.floor and not rows:
        return None
    text = f"node {key[0]}, epoch {key[1]}: "
    if floor == facts.floor:
        return Step(
            key, floor, False, f"{text}numbers up to {floor:,} are retired already; {rows:,} rows will be deleted"
        )
    counts = counts_text([account_up_to(facts, floor)], [part for part in PARTS if part != "retired"])
    text += f"numbers up to {floor:,} will be retired ({counts or 'no row among them'})"
    text += f"; {rows:,} rows will be deleted" if wish.is_deleting else "; rows stay"
    return Step(key, floor, True, text)


def _confirm(wish: Wish) -> bool:
    if not sys.stdin.isatty():
        raise InputError("retire asks first, and standard input is not a terminal", "add --yes if you are sure")
    ending = (
        "deleted rows cannot be brought back, and a floor never falls" if wish.is_deleting else "a floor never falls"
    )
    return input(f"Do this? {ending[0].upper()}{ending[1:]}. [y/N] ").strip().lower() in ("y", "yes")
