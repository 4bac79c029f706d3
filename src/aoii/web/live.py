"""What keeps the live view up to date: one thread that polls the database, and a QoS 0 subscription to the broker.

The work does not grow with the number of open pages: rows are read once, by id, and a page asks for what it has not
seen (followers.py). What the stations say of themselves is asked beside it (stations.py). The broker is needed for
what is in no table: the gateway's estimates. Without it, or without the database, the other half goes on and the page
says what is missing.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, decode_message
from aoii.core.errors import ProtocolError, UnavailableError
from aoii.runtime import certificate_expiry, metrics
from aoii.runtime.station import Part, checks
from aoii.server.db import Database
from aoii.server.rows import EdgeLogRow, NodeSummary, ReadingRow
from aoii.settings import Settings
from aoii.web import pipeline_health
from aoii.web.fleet import Fleet, Summary
from aoii.web.points import Rules, Vitals
from aoii.web.source import Source
from aoii.web.station_poller import StationPoller

Row = TypeVar("Row")

POLL_S = 0.25
RETRY_S = 1.0  # between two tries while the database is away
PAGE_ROWS = 1000  # rows read, and held under the lock, at once: about 10 ms
BACKFILL_ROWS = 50_000  # newest rows of each table that a page shows when it opens; a day of 30 nodes with logs
REREAD_S = 5.0  # two servers commit ids out of order: the newest rows are read again this often
REREAD_ROWS = 200
STOP_S = 2.0
CARD_SPAN_S = 86400
SPANS_S = (3600, 21600, 86400)  # what a page may follow; longer ones are read from the database (history.py)
SUMMARY_MAX_AGE_S = 1.0  # of a node that changed
SUMMARY_IDLE_S = 10.0  # of a node that did not: its silence is judged again
NODES_PER_CARD_SECOND = 25  # a hundred cards are refreshed every 5 s, so that summaries cost a twentieth of a core
VITALS_MAX_AGE_S = 1.0


class Live:
    """The live view and what feeds it."""

    def __init__(self, settings: Settings, source: Source) -> None:
        self._clock = settings.clock
        self._source = source
        self.rules = Rules(
            settings.gateway.beta_temp,
            settings.gateway.beta_hum,
            settings.gateway.sample_period_s,
            settings.gateway.heartbeat_s,
            settings.clock.speed,
            settings.gateway.tau,
        )
        self._expected = settings.web.nodes
        self._stations = StationPoller(settings)
        self.lock = threading.Lock()
        self.fleet = self._new_fleet()  # another object after the database was replaced: followers begin again
        self.stopping = threading.Event()
        self._opening = 0  # which of the source's databases the ids below belong to; 0: none yet
        self._last_reading_id = 0
        self._last_log_id = 0
        self._reread_at = 0.0
        self._summaries: dict[tuple[str, int], tuple[float, int, Summary]] = {}
        self._cards: tuple[float, list[Summary]] = (-SUMMARY_IDLE_S, [])
        self._vitals: tuple[float, dict[str, Vitals]] = (-SUMMARY_IDLE_S, {})
        self._last_progress_s = self.page_beat_s = time.monotonic()  # of the poller, of the loop that serves the page
        self._poller = threading.Thread(target=self._follow_database, name="poller", daemon=True)
        self._broker = Client(
            settings.mqtt,
            f"aoii-web-{secrets.token_hex(4)}",  # two pages on one broker must not push each other out
            subscriptions=[Subscription(READINGS_TOPIC, 0)],
            on_message=self._heard,
            on_refusal=metrics.broker_refused,
        )
        certificate_expiry.register("broker", settings.mqtt.tls, lambda: self._broker.certificate_expires)
        certificate_expiry.register("database", settings.database.tls)

    @property
    def database_away(self) -> str | None:
        """Why the database cannot be read; None when it can."""
        return self._source.away

    @property
    def broker_up(self) -> bool:
        """Whether estimates are coming in."""
        return self._broker.is_ready

    def parts(self) -> Iterator[Part]:
        """Its threads."""
        yield Part("poller", self._poller.is_alive(), self._last_progress_s)
        yield Part("network", self._broker.is_alive, self._broker.last_progress_s)

    def is_alive(self) -> dict[str, bool]:
        """Whether each of them makes progress."""
        return checks(self.parts())

    def is_ready(self) -> dict[str, bool]:
        """What must be there for a page that lacks nothing."""
        return {"broker": self.broker_up, "database": self._opening > 0 and self.database_away is None}

    @property
    def simulated(self) -> bool:
        """Whether event time comes from a simulated clock."""
        return self._clock.start_unix_s is not None

    @property
    def speed(self) -> float:
        """Event seconds in one real second."""
        return self._clock.speed

    def now_ms(self) -> int:
        """The nodes' wall clock, Unix ms."""
        return self._clock.unix_ms()

    def start(self) -> None:
        """Begin to follow database and broker; neither need be up."""
        self._poller.start()
        self._broker.start()
        self._stations.start()

    def stop(self) -> None:
        """Stop following; a database that does not answer is not waited for."""
        self.say_stop()
        self._broker.stop()
        self._stations.stop()
        self._poller.join(STOP_S)

    def say_stop(self) -> None:
        """Let the streams and whoever waits for the database end; returns at once, fit for a signal handler."""
        self.stopping.set()
        self._stations.request_stop()
        self._source.stop()

    def summary(self, name: str, span_s: int, max_age_s: float = SUMMARY_MAX_AGE_S) -> Summary | None:
        """The node's summary, at most `max_age_s` old if it changed; the same object while it is kept.

        None: there is no such node.
        """
        vitals = self.vitals().get(name)
        with self.lock:
            fleet = self.fleet
            if name not in fleet:
                return None
            now = time.monotonic()
            made_at, version, kept = self._summaries.get((name, span_s), (-SUMMARY_IDLE_S, -1, None))
            age_s = now - made_at
            changed = fleet.changed(name, version) or (kept is not None and kept.vitals != vitals)
            if kept is None or age_s > SUMMARY_IDLE_S or (changed and age_s > max_age_s):
                version, kept = fleet.version, fleet.summary(name, span_s, self.now_ms(), vitals)
                self._summaries[name, span_s] = (now, version, kept)
            return kept

    def cards(self) -> list[Summary]:
        """The summary of every node over the last day; the same objects while they are kept."""
        made_at, cards = self._cards
        if time.monotonic() - made_at < SUMMARY_MAX_AGE_S / 2:
            return cards
        with self.lock:
            names = self.fleet.names()
        max_age_s = max(SUMMARY_MAX_AGE_S, len(names) / NODES_PER_CARD_SECOND)
        found = (self.summary(name, CARD_SPAN_S, max_age_s) for name in names)
        cards = [summary for summary in found if summary is not None]
        self._cards = (time.monotonic(), cards)
        return cards

    def names(self) -> list[str]:
        """All nodes, as a person would order them."""
        with self.lock:
            return self.fleet.names()

    def vitals(self) -> dict[str, Vitals]:
        """What the gateways tell of their nodes beside readings, by node; nothing of a gateway that does not answer."""
        made_at, vitals = self._vitals
        if time.monotonic() - made_at > VITALS_MAX_AGE_S:
            vitals = pipeline_health.node_metrics(self._stations.reports())
            self._vitals = (time.monotonic(), vitals)
        return vitals

    def delivery(self) -> pipeline_health.PipelineHealth:
        """The way of a reading, hop by hop."""
        trouble = self._broker.refusal or self._broker.trouble or None
        own = pipeline_health.OwnView(self.database_away, self.broker_up, None if self.broker_up else trouble)
        return pipeline_health.assess(self._stations.reports(), own)

    def _new_fleet(self) -> Fleet:
        fleet = Fleet(self.rules)
        for name in self._expected:
            fleet.expected(name)
        return fleet

    def _heard(self, message: Message) -> None:
        """A message from the broker; runs in the network thread and must not raise."""
        try:
            told = decode_message(message.payload)
        except ProtocolError:
            return  # the server counts it and keeps it where a person can see it
        qos = json.loads(message.payload).get("qos")
        with self.lock:
            self.fleet.heard(told, qos if qos in (0, 1) else None)

    def _follow_database(self) -> None:
        while not self.stopping.is_set():
            self._last_progress_s = time.monotonic()
            try:
                self._poll()
            except UnavailableError:
                self.stopping.wait(RETRY_S)
            else:
                self.stopping.wait(POLL_S)

    def _poll(self) -> None:
        was_away = self._source.away is not None
        newest = self._source.try_read(lambda database: database.recent(1))
        replaced = self._opening != self._source.openings
        if replaced or (was_away and (newest[-1].id if newest else 0) < self._last_reading_id):  # an older copy
            self._begin()
        if time.monotonic() - self._reread_at > REREAD_S:
            self._reread_at = time.monotonic()
            self._last_reading_id = max(0, self._last_reading_id - REREAD_ROWS)
        self._take_readings()
        self._take_logs()

    def _begin(self) -> None:
        """Decide from which rows on to read."""

        def ask(database: Database) -> tuple[list[NodeSummary], list[ReadingRow], list[EdgeLogRow]]:
            return database.nodes(), database.recent(1), database.recent_edge_log(1)

        nodes, readings, logs = self._source.try_read(ask)
        with self.lock:
            if self._opening:  # what is held came from another database
                self.fleet = self._new_fleet()
                self._summaries.clear()
                self._cards = (-SUMMARY_IDLE_S, [])
            self._opening = self._source.openings
            for node in nodes:
                self.fleet.known(node)
        self._last_reading_id = max(0, readings[-1].id - BACKFILL_ROWS) if readings else 0
        self._last_log_id = max(0, (logs[-1].id or 0) - BACKFILL_ROWS) if logs else 0

    def _take_readings(self) -> None:
        full = True
        while full and not self.stopping.is_set():
            rows = self._page(Database.readings_after, self._last_reading_id)
            with self.lock:
                for row in rows:
                    self.fleet.stored(row)
            full = len(rows) == PAGE_ROWS
            self._last_reading_id = rows[-1].id if rows else self._last_reading_id

    def _take_logs(self) -> None:
        full = True
        while full and not self.stopping.is_set():
            rows = self._page(Database.edge_log_after, self._last_log_id)
            with self.lock:
                for row in rows:
                    self.fleet.logged(row)
            full = len(rows) == PAGE_ROWS
            self._last_log_id = (rows[-1].id if rows else None) or self._last_log_id

    def _page(self, ask: Callable[[Database, int, int], list[Row]], after: int) -> list[Row]:
        self._last_progress_s = time.monotonic()
        return self._source.try_read(lambda database: ask(database, after, PAGE_ROWS))
