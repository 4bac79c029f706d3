"""Stations that are wrong on purpose, each without one thing that keeps readings from being lost or doubled.

`python -m faults.variants NAME STATION` runs a station as `aoii STATION` would, with one method replaced; several names
are joined by `+`. If the campaign does not notice, the campaign is worth nothing. Some are right, and have a machine
whose clock is wrong, or less patience.
Production code knows nothing of this.
"""

import datetime
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aoii.broker.client import Client, Message, Published
from aoii.broker.messages import Committed, Identity
from aoii.commands import main

REAL_DATETIME = datetime.datetime
SMALL_KEPT_BYTES = 110_000  # of which the empty tables take 40,000


def without_unique_key() -> None:
    """Rows are simply inserted; the control drops the index as well."""
    from aoii.server import db, tables

    db._INSERT_READINGS["mysql"] = db._insert_sql(tables.READINGS, "%s")


def without_commit_ack() -> None:
    """The outbox lets go of a reading as soon as the broker has said that it took it."""
    from aoii.gateway.publisher import Publisher

    ended = Publisher._on_published

    def forget(self: Publisher, published: Published) -> None:
        ended(self, published)
        who = published.token
        if published.accepted and isinstance(who, Identity):
            self._outbox_file.submit(
                lambda transaction: transaction.acknowledge([Committed(who, "stored")]), self._on_acknowledged
            )

    Publisher._on_published = forget  # type: ignore[method-assign]  # that is the purpose


def without_generation_guard() -> None:
    """A message that came over an earlier connection is acknowledged over the present one."""

    def acknowledge(self: Client, message: Message) -> bool:
        library = self._library
        return library is not None and library.ack(message.mid, message.qos) == 0

    Client.acknowledge = acknowledge  # type: ignore[method-assign]  # that is the purpose


def stepping_clock() -> None:
    """The machine's wall clock is off by the milliseconds that stand in the file CLOCK_STEPS, from call to call."""
    from aoii.runtime.clock import Clock

    steps = Path(os.environ["CLOCK_STEPS"])
    steady = Clock.unix_ms
    Clock.unix_ms = lambda self: steady(self) + int(steps.read_text())  # type: ignore[method-assign]  # that is the purpose


def hasty() -> None:
    """Minutes between two looks of the audit, and between two reports, are seconds: the same code, more trials."""
    from aoii.gateway import repair
    from aoii.server import asked_gateway, audit, audit_worker

    repair.REPORT_MS = 200
    asked_gateway.ANSWER_S = 3.0
    audit.QUICK_S = 0.7
    audit.LOOK_S = 1.5
    audit.SOON_S = 0.3
    audit.COMING_S = 1.0
    audit_worker.REQUESTS_S = 0.3
    audit_worker.AGAIN_S = 0.5


def forgetful() -> None:
    """A gateway that does not answer is waited for for seconds instead of half an hour."""
    from aoii.server import asked_gateway

    asked_gateway.UNANSWERED_S = 6.0


def small_kept() -> None:
    """A gateway keeps little: a hundred readings or so, where the smallest setting takes thousands."""
    from aoii.gateway.drivers import kept_file

    made = kept_file.KeptFile.__init__

    def make(self: kept_file.KeptFile, path: Path, max_bytes: int) -> None:
        made(self, path, min(max_bytes, SMALL_KEPT_BYTES))

    kept_file.KeptFile.__init__ = make  # type: ignore[method-assign]  # that is the purpose
    kept_file.PRUNE_STEP = 20


def wrong_clock() -> None:
    """The machine's wall clock is off by CLOCK_OFFSET_S, wherever it is read."""
    offset_s = float(os.environ["CLOCK_OFFSET_S"])
    clock_s, clock_ns = time.time, time.time_ns

    class Kind(type):
        def __instancecheck__(cls, instance: object) -> bool:
            return isinstance(instance, REAL_DATETIME)

    class Wrong(REAL_DATETIME, metaclass=Kind):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return REAL_DATETIME.fromtimestamp(time.time(), tz)

    time.time = lambda: clock_s() + offset_s
    time.time_ns = lambda: clock_ns() + round(offset_s * 1e9)
    datetime.datetime = Wrong  # type: ignore[misc]
    for name, module in list(sys.modules.items()):
        if name.startswith("aoii.") and getattr(module, "datetime", None) is REAL_DATETIME:
            module.datetime = Wrong  # type: ignore[attr-defined]


def without_audit() -> None:
    """The server never looks for what its table lacks."""
    from aoii.server.audit_worker import AuditWorker

    AuditWorker.start = lambda self: None  # type: ignore[method-assign]  # that is the purpose


def one_look() -> None:
    """What one look lacks is asked for."""
    from aoii.server.unaccounted import TwoLooks

    careful = TwoLooks.take

    def take(self: TwoLooks, lacking: Any, known: Any, wait_s: float, now_s: float) -> None:
        careful(self, lacking, lacking, wait_s, now_s)

    TwoLooks.take = take  # type: ignore[method-assign]  # that is the purpose


def patient() -> None:
    """After `hasty`: a reading on its way has arrived in time for the second look, on a busy machine too."""
    from aoii.server import audit

    audit.QUICK_S = audit.LOOK_S = 4.0


def void_too_far() -> None:
    """A gateway takes a node's answer as proof for all numbers that it was asked for, and not for those between."""
    from aoii.gateway import air_asks

    exact = air_asks._answered

    def claim(asked: Any, uplink: Any) -> Any:
        return exact(asked, uplink._replace(counter=0, answers=abs(uplink.answers)))

    air_asks._answered = claim


RIGHT = (stepping_clock, hasty, patient, forgetful, small_kept, wrong_clock)
WRONG = (without_unique_key, without_commit_ack, without_generation_guard, without_audit, one_look, void_too_far)
VARIANTS: dict[str, Callable[[], None]] = {function.__name__: function for function in (*RIGHT, *WRONG)}


if __name__ == "__main__":
    for name in sys.argv[1].split("+"):
        VARIANTS[name]()
    raise SystemExit(main.main(sys.argv[2:]))
