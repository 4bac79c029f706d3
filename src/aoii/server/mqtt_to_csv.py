"""The CSV subscriber, wired: every message becomes a line with the columns of the reference system.

    network thread -> Inbox -> this station's thread -> file, fsync -> PUBACK in order

It is a view: a reading that a broker forgets is published again by its gateway only until the database has it, so that
the file may miss it. `aoii export` is complete.
"""

import hashlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, Estimate, Reading
from aoii.core.errors import AoiiError
from aoii.runtime import certificate_expiry, metrics
from aoii.runtime.station import Part, Station, run_station
from aoii.server import subscription
from aoii.server.csv_file import CsvFile, CsvRow
from aoii.server.inbox import Inbox
from aoii.server.ingest import Malformed
from aoii.settings import Settings

log = logging.getLogger(__name__)

CLIENT_ID = "aoii-csv"
SESSION_EXPIRY_S = 7 * 86400
JOURNAL_NAME = "csv_journal.db"
BATCH_LIMIT = 500
IDLE_S = 0.2
RETRY_S = 1.0
STOP_S = 8.0  # of the 10 s that a graceful stop may take


def to_row(content: Reading | Estimate, payload: bytes) -> CsvRow:
    """The line of a message. Errors are absolute in this file; what an estimate lacks is empty.

    The key is the identity; a message of the reference system's gateway has none, there it is the payload itself, whose
    time, count and values do not come twice.
    """
    if isinstance(content, Estimate):
        fields = (content.timestamp, content.time_n, "EST", "", "", content.pred_t, content.pred_h, "", "",
                  content.total_tx, "")  # fmt: skip
        return CsvRow(None, fields)
    who = content.identity
    key = f"{who.epoch}:{who.counter}:{who.node}" if who else hashlib.sha256(payload).hexdigest()
    fields_of_reading = (
        content.timestamp,
        content.time_n,
        "RX",
        content.actual_t,
        content.actual_h,
        content.pred_t,
        content.pred_h,
        round(abs(content.actual_t - content.pred_t), 6),
        round(abs(content.actual_h - content.pred_h), 6),
        content.total_tx,
        "" if content.transmission_delay_ms is None else content.transmission_delay_ms,
    )
    return CsvRow(key, fields_of_reading)


class CsvSubscriber(Station):
    """The station: subscriber and file."""

    def __init__(self, settings: Settings) -> None:
        self._file = CsvFile(settings.server.csv_file, settings.data_dir / JOURNAL_NAME)
        self._inbox = Inbox()
        self._client = Client(
            settings.mqtt,
            CLIENT_ID,
            subscriptions=[Subscription(READINGS_TOPIC, 1)],
            on_message=self._inbox.put,
            on_state=subscription.note_state,
            on_refusal=metrics.broker_refused,
            session_expiry_s=SESSION_EXPIRY_S,
            manual_ack=True,
        )
        certificate_expiry.register("broker", settings.mqtt.tls, lambda: self._client.certificate_expires)
        self._stopping = threading.Event()
        self._is_writable = True
        self._progress_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="csv", daemon=True)

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
        yield Part("writer", self._thread.is_alive(), self._progress_s)
        yield Part("network", self._client.is_alive, self._client.last_progress_s)

    def is_ready(self) -> dict[str, bool]:
        """What must be there for work."""
        return {"broker": self._client.is_ready, "file": self._is_writable}

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._progress_s = time.monotonic()
                batch = self._inbox.take(BATCH_LIMIT, IDLE_S)
                if batch and self._write(batch):
                    for message in batch:
                        if message.qos:
                            self._client.acknowledge(message)
                subscription.reconnect_when_overrun(self._inbox, self._client)
        except Exception:  # a fault of ours: the process ends, and what was not acknowledged comes again
            log.exception("CSV subscriber ended by an error", extra={"event": "csv_error"})

    def _write(self, batch: Sequence[Message]) -> bool:
        """Append a batch, however often it takes; False when we stopped before it was in the file."""
        contents = [(subscription.receive(message), message.payload) for message in batch]
        rows = [to_row(content, payload) for content, payload in contents if not isinstance(content, Malformed)]
        while True:
            try:
                written = self._file.append(rows)
            except AoiiError as error:
                self._set_writable(False, str(error))
                self._progress_s = time.monotonic()
                if self._stopping.wait(RETRY_S):
                    return False
            else:
                self._set_writable(True, "")
                for row in written:
                    metrics.CSV_ROWS.labels(event=str(row.fields[2])).inc()
                return True

    def _set_writable(self, is_writable: bool, reason: str) -> None:
        if self._is_writable and not is_writable:
            log.error("CSV file not written", extra={"event": "csv_not_written", "reason": reason})
        if is_writable and not self._is_writable:
            log.info("CSV file written again", extra={"event": "csv_written"})
        self._is_writable = is_writable


def run(settings: Settings) -> int:
    """Run the CSV subscriber until SIGTERM or SIGINT; its exit code.

    Raises:
        InputError: CSV_FILE has other columns.
        UnavailableError: CSV_FILE cannot be opened, or the status port is taken.
    """
    return run_station("csv", settings.server.csv_status_port, lambda: CsvSubscriber(settings))
