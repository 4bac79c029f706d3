"""The server, wired: MQTT in, database out, commit acknowledgements back to the gateways; and beside it the audit.

    network thread -> inbox -> ingest thread -> database, or dead letters -> PUBACK in order -> commit acknowledgement

Killing the process at any instruction loses nothing: the broker delivers unacknowledged messages again, and the
identity of a reading makes a second insert harmless.
"""

import logging
import threading
import time
from collections.abc import Iterator

from aoii.runtime import certificate_expiry, metrics
from aoii.runtime.station import Part, Station, run_station
from aoii.runtime.written_bytes import WrittenBytes
from aoii.server import subscription
from aoii.server.audit_worker import AuditWorker
from aoii.server.db import Database
from aoii.server.dead_letters.store import DeadLetters
from aoii.server.inbox import Inbox
from aoii.server.ingest_worker import IngestWorker
from aoii.server.insertion import insert_reading_with_retry
from aoii.server.ledger_watch import LedgerWatch
from aoii.settings import Settings

log = logging.getLogger(__name__)

__all__ = ["Server", "insert_reading_with_retry", "run"]  # the second is here for scripts of the older installation

CLIENT_ID = "aoii-server"  # names the session at the broker: one server at a time
IDLE_S = 0.2  # how often `_listen` looks for a stop
STOP_S = 4.5  # of the 10 s that a graceful stop may take, also on a machine that is busy
INGEST_STOP_S = 3.0  # for the batch in hand; a frozen database needs longer, and then the batch is delivered again


class Server(Station):
    """The station: everything that runs, started and stopped together."""

    def __init__(self, settings: Settings) -> None:
        server = settings.server
        self._max_wait_s = server.insert_base_delay_s * (2**server.insert_max_retries - 1)
        self._dead_letters = DeadLetters(server.dead_letter_path, server.dead_letter_max_mb)
        self._database = Database(settings.database, create=True)
        log.info("rows go to a database", extra={"event": "rows_go_to", "database": settings.database.description})
        metrics.BACKUP_INTERVAL_S.set(settings.database.backup_interval_h * 3600)
        self._inbox = Inbox()
        self._client = subscription.connect(settings.mqtt, CLIENT_ID, self._inbox, "aoii server")
        certificate_expiry.register("database", settings.database.tls, lambda: self._database.certificate_expires)
        self._ingest = IngestWorker(
            self._database,
            self._dead_letters,
            self._client,
            self._inbox,
            max_retries=server.insert_max_retries,
            base_delay_s=server.insert_base_delay_s,
            clock=settings.clock,
        )
        self._ledger_watch = LedgerWatch(self._database.pool, self._dead_letters)
        self._broker_watch = subscription.watch_broker(settings.mqtt, f"{CLIENT_ID}-watch")
        self._audit = AuditWorker(
            self._database.pool,
            self._ingest.watch,
            self._dead_letters.accounted,
            lambda: self._ingest.gateways,
            settings.mqtt,
            f"{CLIENT_ID}-audit",
        )
        self._stopping = threading.Event()
        self._start_lock = threading.Lock()  # a stop may come while `_listen` starts the connections
        self._is_listening = False

    def start(self) -> None:
        """Begin. Messages are taken after the database's first answer, or without one if it takes too long."""
        self._ingest.watch.start()
        self._ingest.thread.start()
        self._ledger_watch.start()
        threading.Thread(target=self._listen, name="listen", daemon=True).start()

    def _listen(self) -> None:
        """Connect to the broker after the database's first answer, or after the time of all retries of a batch."""
        deadline_s = time.monotonic() + self._max_wait_s
        while not self._ingest.watch.wait_answer(IDLE_S) and time.monotonic() < deadline_s:
            if self._stopping.is_set():
                return
        with self._start_lock:
            if not self._stopping.is_set():
                self._client.start()
                self._broker_watch.start()
                self._audit.start()
                self._is_listening = True

    def stop(self) -> None:
        """Finish the batch in hand, acknowledge it and end; a batch that takes too long is delivered again."""
        deadline_s = time.monotonic() + STOP_S
        with self._start_lock:
            self._stopping.set()
        self._ledger_watch.stop()
        is_finished = self._ingest.stop(INGEST_STOP_S)
        self._ingest.watch.stop()
        if self._is_listening:
            self._client.stop(max(0.5, deadline_s - time.monotonic()))
            self._broker_watch.stop(max(0.5, deadline_s - time.monotonic()))
            self._audit.stop(max(0.5, deadline_s - time.monotonic()))
        if is_finished:
            self._dead_letters.close()
            self._database.close()
        else:
            log.warning("stopped in a batch", extra={"event": "stopped_in_batch"})

    def parts(self) -> Iterator[Part]:
        """Its threads."""
        yield self._ingest.thread.part
        yield self._ingest.watch.part
        yield self._ledger_watch.part
        if self._is_listening:
            yield self._client.thread.part
        else:
            yield Part("network", True, time.monotonic())

    def readiness(self) -> dict[str, bool]:
        """Whether the broker and the database can be used, and the dead letters have room."""
        return {
            "broker": self._client.is_ready,
            "database": self._ingest.watch.is_up,
            "dead_letters": self._ingest.health.can_add,
        }


def run(settings: Settings) -> int:
    """Run the server until SIGTERM or SIGINT; return its exit code.

    Raises:
        UnavailableError: The dead letters cannot be opened, or the status port is taken.
    """
    written = WrittenBytes(settings.data_dir, settings.write_budget_mb)
    return run_station("server", settings.server.status_port, lambda: Server(settings), meter=written.update)
