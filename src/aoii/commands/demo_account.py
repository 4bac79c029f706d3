"""The account of a demo: acknowledgements that the simulated radio received, against rows in the database.

Only the numbers of samples and packets, and the ages, come from the nodes' own report. Whether a reading was accepted,
stored or lost is counted without asking a station.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aoii.broker.messages import Identity
from aoii.server.db import open_database
from aoii.server.dead_letters.store import DeadLetters
from aoii.settings import Settings

Report = Mapping[str, float]


@dataclass(frozen=True)
class Summary:
    """The figures of a run; `--json` writes these keys.

    Attributes:
        samples: Samples that the nodes took.
        events: Packets sent because the gateway's estimate was wrong.
        heartbeats: Packets sent because the node was silent for long.
        retries: Packets sent again, and readings sent late.
        periodic: Packets that periodic sending would have sent.
        minutes_wrong: Time for which the estimate was wrong, min: one sampling interval for each sample at which it was
            wrong after that sample's packet.
        aoii_mean_s: Mean Age of Incorrect Information over all samples, s.
        aoii_p99_s: 99th percentile of the AoII over all samples, s.
        accepted: Readings that the gateway acknowledged to the radio.
        stored: Rows of this run in the database.
        missing: Accepted readings that are neither in the database nor in the dead letters.
        duplicates: Rows beyond the first of the same reading.
        dead_letters: Readings in the dead letters.
    """

    samples: int
    events: int
    heartbeats: int
    retries: int
    periodic: int
    minutes_wrong: float
    aoii_mean_s: float
    aoii_p99_s: float
    accepted: int
    stored: int
    missing: int
    duplicates: int
    dead_letters: int

    @property
    def sent(self) -> int:
        """All packets that the nodes sent."""
        return self.events + self.heartbeats + self.retries


@dataclass(frozen=True)
class Account:
    """Counts one run.

    Attributes:
        settings: Settings of the run's stations.
        epoch: Epoch of the run's nodes.
        interval_s: Time between two samples, s.
    """

    settings: Settings
    epoch: int
    interval_s: float

    def report(self) -> Report:
        """The nodes' own counters, at most a second old; empty before the first report."""
        with contextlib.suppress(FileNotFoundError):
            return dict(json.loads(self.settings.edge.report_file.read_text()))
        return {}

    def summary(self) -> Summary:
        """Count the run from the radio's record, the nodes' report and the database."""
        recorded = [line.split(",") for line in self._record_lines()]
        accepted = {Identity(node, int(epoch), int(counter)) for node, epoch, counter in recorded}
        with contextlib.closing(open_database(self.settings.database)) as database:
            rows = Counter(identity for identity in database.identities() if identity.epoch == self.epoch)
        dead = self._dead_letters()
        report = self.report()
        samples = int(report.get("samples", 0))
        return Summary(
            samples=samples,
            events=int(report.get("events", 0)),
            heartbeats=int(report.get("heartbeats", 0)),
            retries=int(report.get("retries", 0)),
            periodic=samples,
            minutes_wrong=report.get("wrong_instants", 0) * self.interval_s / 60,
            aoii_mean_s=report.get("aoii_mean_s", 0.0),
            aoii_p99_s=report.get("aoii_p99_s", 0.0),
            accepted=len(accepted),
            stored=rows.total(),
            missing=len(accepted - rows.keys() - dead),
            duplicates=sum(count - 1 for count in rows.values()),
            dead_letters=len(dead),
        )

    def _record_lines(self) -> list[str]:
        record: Path | None = self.settings.edge.record_file
        if record is None or not record.exists():
            return []
        text = record.read_text()
        return text[: text.rfind("\n") + 1].splitlines()  # the last line may be incomplete

    def _dead_letters(self) -> set[Identity]:
        server = self.settings.server
        if not server.dead_letter_path.exists():
            return set()
        with contextlib.closing(DeadLetters(server.dead_letter_path, server.dead_letter_max_mb)) as letters:
            return set(letters.identities())
