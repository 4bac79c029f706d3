"""The CSV subscriber, wired: messages become lines with the columns of the older installation.

    network thread -> inbox -> writer thread -> file, fsync -> PUBACK in order

The file is a view and may miss a reading: if the broker forgets one, the gateway publishes it again only until the
database has it. `aoii export` is complete.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TypeGuard

from aoii.broker.client import Message
from aoii.broker.messages import Estimate, Reading
from aoii.broker.newest_estimates import NewestEstimates
from aoii.core.errors import AoiiError
from aoii.runtime import metrics
from aoii.runtime.station import Part, PartThread, Station, run_station
from aoii.runtime.written_bytes import WrittenBytes
from aoii.server import subscription
from aoii.server.csv_file import CsvFile
from aoii.server.csv_journal import CsvRow
from aoii.server.inbox import Inbox
from aoii.server.ingest import Kept, Malformed
from aoii.settings import Settings

log = logging.getLogger(__name__)

CLIENT_ID = "aoii-csv"
JOURNAL_NAME = "csv_journal.db"
BATCH_LIMIT = 500
IDLE_S = 0.2  # for the first message of a batch
RETRY_S = 1.0  # between two tries while the file cannot be written
STOP_S = 8.0  # of the 10 s that a graceful stop may take


def to_row(content: Reading | Estimate, payload: bytes) -> CsvRow:
    """The line of a message; in this file errors have no sign.

    The key of a reading is its identity. A reading from the older installation's gateway has none; its key is a digest
    of its payload, because time, count and values together do not repeat. An estimate has no key.
    """
    fields: dict[str, str | float] = {
        "Timestamp": content.timestamp,
        "Time_n": content.time_n,
        "Event": "EST" if isinstance(content, Estimate) else "RX",
        "Pred_T": content.pred_t,
        "Pred_H": content.pred_h,
        "Total_TX": content.total_tx,
    }
    if isinstance(content, Estimate):
        return CsvRow(None, fields)
    fields |= {
        "Actual_T": content.actual_t,
        "Actual_H": content.actual_h,
        "Error_T": round(abs(content.actual_t - content.pred_t), 6),
        "Error_H": round(abs(content.actual_h - content.pred_h), 6),
    }
    if content.transmission_delay_ms is not None:
        fields["Transmission_Delay_Ms"] = content.transmission_delay_ms
    who = content.identity
    return CsvRow(f"{who.epoch}:{who.counter}:{who.node}" if who else hashlib.sha256(payload).hexdigest(), fields)


class CsvSubscriber(Station):
    """The station: the subscriber and its file."""

    def __init__(self, settings: Settings) -> None:
        self._file = CsvFile(settings.server.csv_file, settings.data_dir / JOURNAL_NAME, settings.server.csv_format)
        self._inbox = Inbox()
        self._newest = NewestEstimates()
        self._client = subscription.connect(settings.mqtt, CLIENT_ID, self._inbox, "aoii csv")
        self._stopping = threading.Event()
        self._is_writable = True
        self._thread = PartThread("writer", self._work)

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        self._client.start()

    def stop(self) -> None:
        """Finish the batch in hand, acknowledge it and end."""
        deadline = time.monotonic() + STOP_S
        self._stopping.set()
        self._thread.join(STOP_S)
        self._client.stop(max(0.5, deadline - time.monotonic()))
        if not self._thread.is_alive():
            self._file.close()

    def parts(self) -> Iterator[Part]:
        """Its threads."""
        yield self._thread.part
        yield self._client.thread.part

    def readiness(self) -> dict[str, bool]:
        """Whether the broker can be used, and whether the file can be written."""
        return {"broker": self._client.is_ready, "file": self._is_writable}

    def _work(self) -> None:
        while not self._stopping.is_set():
            self._thread.record_progress()
            batch = self._inbox.take(BATCH_LIMIT, IDLE_S)
            if batch and self._write(batch):
                for message in batch:
                    if message.qos:
                        self._client.acknowledge(message)
            subscription.reconnect_after_overrun(self._inbox, self._client)

    def _write(self, batch: Sequence[Message]) -> bool:
        """Append a batch, with as many tries as it takes; False if the station stops before that."""
        contents = [(subscription.decode_and_count(message), message.payload) for message in batch]
        rows = [to_row(content, payload) for content, payload in contents if self._is_row(content)]
        while True:
            try:
                written = self._file.append(rows)
            except AoiiError as error:
                self._set_writable(False, str(error))
                self._thread.record_progress()
                if self._stopping.wait(RETRY_S):
                    return False
            else:
                self._set_writable(True, "")
                for row in written:
                    metrics.CSV_ROWS.labels(event=row.fields["Event"]).inc()
                return True

    def _is_row(self, content: Reading | Estimate | Malformed | Kept) -> TypeGuard[Reading | Estimate]:
        """Whether a message becomes a line: every reading, and of the gateways' estimates one a node and minute."""
        if isinstance(content, Estimate):
            return self._newest.is_newest(content, time.monotonic())
        return isinstance(content, Reading)

    def _set_writable(self, is_writable: bool, reason: str) -> None:
        if self._is_writable and not is_writable:
            log.error("CSV file cannot be written", extra={"event": "csv_not_written", "reason": reason})
        if is_writable and not self._is_writable:
            log.info("CSV file written again", extra={"event": "csv_written"})
        self._is_writable = is_writable


def run(settings: Settings) -> int:
    """Run the CSV subscriber until SIGTERM or SIGINT; return its exit code.

    Raises:
        InputError: CSV_FILE has other columns, or the full format although CSV_FORMAT is older.
        UnavailableError: CSV_FILE cannot be opened, or the status port is taken.
    """
    written = WrittenBytes(settings.data_dir, settings.write_budget_mb)
    return run_station("csv", settings.server.csv_status_port, lambda: CsvSubscriber(settings), meter=written.update)
