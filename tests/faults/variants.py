"""Stations that are wrong on purpose, each without one thing that keeps readings from being lost or doubled.

`python -m faults.variants NAME STATION` runs a station as `aoii STATION` would, with one method replaced (`NAME+NAME`: two). If the
campaign does not notice, the campaign is worth nothing. One is right and has a machine whose clock is wrong.
Production code knows nothing of this.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from aoii.broker.client import Client, Message, Published
from aoii.broker.messages import Committed, Identity
from aoii.commands import main


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


VARIANTS: dict[str, Callable[[], None]] = {
    function.__name__: function
    for function in (without_unique_key, without_commit_ack, without_generation_guard, stepping_clock)
}


if __name__ == "__main__":
    for name in sys.argv[1].split("+"):
        VARIANTS[name]()
    raise SystemExit(main.main(sys.argv[2:]))
