"""What `aoii audit` does: asks for an audit in the database, waits for the server, and says what it found."""

import contextlib
import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from aoii.core.errors import UnavailableError
from aoii.server.audits import Audit, Audits
from aoii.server.connection import ConnectionPool
from aoii.server.db import open_database
from aoii.server.gap import numbers_by_state
from aoii.server.gaps import Gaps
from aoii.settings import Settings

log = logging.getLogger(__name__)

POLL_S = 0.5
BEGIN_S = 60.0  # until a running server takes the request; it may be in the midst of a look at every row
STANDSTILL_S = 600.0  # without any change: the server ends an audit in which nothing comes back long before


def audit(settings: Settings, is_full: bool, is_waiting: bool, is_accepting: bool) -> int:
    """Have the running server audit its table; return the exit code.

    Raises:
        DatabaseAway: The database is away, or its tables are older than this version.
        UnavailableError: No server has begun the audit, or it has stopped in the midst of it.
    """
    with contextlib.closing(open_database(settings.database)) as database:
        audits = Audits(database.pool)
        id_ = audits.request(is_full)
        if not is_waiting:
            print(f"audit {id_} is asked for; a running server begins at once")
            return 0
        counts = _wait(audits, id_)
        recorded = numbers_by_state(Gaps(database.pool).all())
        print(_summary(counts, recorded["unknown"] + recorded["lost"]))
        if is_accepting:
            print(f"{_accept(database.pool):,} accepted as lost")
            return 0
    is_unseen = bool(counts.get("unanswered")) or counts.get("answered") == 0
    is_missing = bool(recorded["open"]) or any(counts.get(state) for state in ("open", "unknown", "lost"))
    return 1 if is_unseen or is_missing else 0


def _wait(audits: Audits, id_: int) -> Mapping[str, int]:
    """What the audit has found in the end; meanwhile a terminal shows it."""
    seen: Audit | None = None
    changed_s = time.monotonic()
    try:
        while True:
            found = audits.find(id_)
            if found is None:
                raise UnavailableError(f"audit {id_} is no longer in the list", "ask for another one")
            if found.finished_at is not None:
                return found.counts
            if found != seen:
                seen, changed_s = found, time.monotonic()
                _show(found)
            _check(audits, found, time.monotonic() - changed_s)
            time.sleep(POLL_S)
    finally:
        if sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _check(audits: Audits, found: Audit, unchanged_s: float) -> None:
    """Raise UnavailableError if no server works on this audit."""
    running = audits.next_request()
    is_behind = running is not None and running.id < found.id and running.started_at is not None
    if found.started_at is None and not is_behind and unchanged_s >= BEGIN_S:
        raise UnavailableError(
            f"no server has begun audit {found.id} within {BEGIN_S:.0f} s",
            "start `aoii server`, or see in its log why its audit fails; it will begin this one",
        )
    if unchanged_s >= STANDSTILL_S:
        raise UnavailableError(
            f"nothing has come of audit {found.id} for {STANDSTILL_S / 60:.0f} minutes",
            "see whether `aoii server` runs; it goes on when it is started",
        )


def _show(found: Audit) -> None:
    if not sys.stderr.isatty():
        return
    if found.started_at is None:
        text = "waiting for the server"
    elif not found.counts.get("missing"):
        text = f"{found.counts.get('rows', 0):,} rows, nothing missing yet"
    else:
        text = f"{found.counts['mended']:,} of {found.counts['missing']:,} missing readings mended"
    print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def _summary(counts: Mapping[str, int], recorded: int) -> str:
    """What the audit has found; `recorded` is how many numbers are recorded as unknown or lost, of this audit too."""
    rows = f"{counts.get('rows', 0):,} rows"
    unseen = _unseen(counts)
    if counts.get("missing"):
        lines = [f"{rows}; {counts['missing']:,} were missing"]
        names = ("mended", "open", "void", "unknown", "lost")
        lines += [f"  {count:,} {name}" for name in names if (count := counts.get(name))]
        if of_nodes := counts.get("asked_nodes"):
            lines.append(
                f"nodes are asked for {of_nodes:,} with their next packets: `aoii ledger` shows how it goes on"
            )
    elif unseen is not None:
        lines = [f"{rows}; nothing is known to be missing"]
    else:
        lines = [f"{rows}; nothing {'more ' if recorded else ''}is missing"]
    if (earlier := recorded - counts.get("unknown", 0) - counts.get("lost", 0)) > 0:
        lines.append(f"{earlier:,} were recorded before as unknown or lost: `aoii ledger` says whose")
    if unseen is not None:
        lines.append(unseen)
    return "\n".join(lines)


def _unseen(counts: Mapping[str, int]) -> str | None:
    """What the audit could not see, and what to do; None: every gateway has answered, or an older server counted."""
    answered, unanswered = counts.get("answered"), counts.get("unanswered", 0)
    if answered == 0 and not unanswered:
        who = "no gateway is known"
    elif unanswered:
        who = f"{unanswered:,} gateway{'s have' if unanswered > 1 else ' has'} not answered"
    else:
        return None
    return (
        f"{who}, and only gateways can say what the table lacks after its newest rows: see with `aoii doctor` which "
        "gateway is silent, start it, and run this again"
    )


def _accept(pool: ConnectionPool) -> int:
    """Record everything that is open or unknown as lost; return how many numbers that is."""
    gaps = Gaps(pool)
    detail = f"accepted by an operator on {datetime.now(UTC):%Y-%m-%d}"
    accepted = [replace(gap, state="lost", detail=detail) for gap in gaps.all() if gap.state in ("open", "unknown")]
    gaps.record(accepted)
    count = numbers_by_state(accepted).total()
    log.warning("missing readings accepted as lost", extra={"event": "gaps_accepted", "readings": count})
    return count
