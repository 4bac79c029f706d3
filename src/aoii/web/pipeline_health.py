"""Pipeline health: for each hop of a reading, what waits there, for how long, how fast it moves, what is wrong.

Pure: station reports in, hop reports out. Every station that can see a hop reports on it, so a hop may have several
reports: the outbox one from each gateway; the broker one each from gateways, servers and this page. A hop that no
station can see is `unknown`, never `ok`. A station that does not answer makes its own hop `unreachable`; its reports on
other hops become `unknown` and keep their last values.

Notes are codes with values; the page has the words (static/messages/).
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from prometheus_client import Counter, Gauge

from aoii.runtime import health_limits, metrics
from aoii.runtime.daily_writes import daily_writes
from aoii.runtime.times_ahead import Ahead, full_soon, times_ahead
from aoii.web.station_report import StationReport

HopState = Literal["ok", "warn", "unreachable", "down", "unknown"]
NoteCode = Literal[
    "noPort", "unasked", "noAnswer", "neverAnswered", "notTold", "checkFails",
    "portClosed", "rejected", "repliesLate",
    "outboxFull", "outboxRefused", "outboxDamaged", "outboxGrows", "outboxOld",
    "outboxFullSoon", "diskFullSoon", "lettersFullSoon", "writesTooMuch",
    "notConnected", "connectionLost", "publishFailed", "brokerDrops",
    "lettersFull", "inboxOverrun", "badMessages",
    "rowsRefused", "insertRetries", "rowsDeadLettered", "notReadable", "oneDisk",
    "acksLost", "acksMismatched", "noAcks", "ackDelay",
]  # fmt: skip
Note = tuple[NoteCode, dict[str, object]]
STATE_RANK: dict[HopState, int] = {"unknown": 0, "ok": 1, "warn": 2, "unreachable": 3, "down": 4}

HOPS = ("radio", "gateway", "outbox", "broker", "server", "database", "commit")
# Stations that readings do not pass on their way to the database, each with the metric that counts what it writes.
OTHER_STATIONS = {"csv": metrics.CSV_ROWS, "edgelog": metrics.LOG_LINES}


@dataclass(frozen=True)
class HopReport:
    """How one hop is doing, as one station sees it. The names of its fields are keys of the web API.

    Attributes:
        by: The station, or `web` for this page itself.
        address: The station's status port.
        state: How the hop is doing.
        waiting: Readings that wait here now.
        oldest_s: How long the oldest of them has waited, s.
        per_minute: Readings or messages that pass it in a minute.
        track: How many readings waited here over the last minutes, oldest first.
        ahead_s: What lies ahead at the present rate, s, by name: when a buffer will be full, how far kept readings go
            back.
        written_mb: What the station writes to its disk in a day, MB.
        notes: What a person should know, the worst first.
        stale_s: Age of the values, s, if the station no longer answers; None if it answers or never did.
    """

    by: str
    address: str | None
    state: HopState
    waiting: float | None = None
    oldest_s: float | None = None
    per_minute: float | None = None
    track: tuple[float, ...] = ()
    ahead_s: dict[Ahead, float] = field(default_factory=dict)
    written_mb: float | None = None
    notes: list[Note] = field(default_factory=list)
    stale_s: float | None = None


@dataclass(frozen=True)
class Hop:
    """One hop: every report of it, and the worst state among them."""

    name: str
    reports: list[HopReport]

    @property
    def state(self) -> HopState:
        """The worst state in any report."""
        return max((report.state for report in self.reports), key=STATE_RANK.__getitem__, default="unknown")


@dataclass(frozen=True)
class DeadLetterCounts:
    """Dead letters of all servers. The names of its fields are keys of the web API.

    Attributes:
        counts: Dead letters by reason; None if no server has ever answered.
        stale_s: Age of the oldest values, s, of servers that no longer answer; None if there is no such server.
        dropped: Malformed payloads that were dropped to make room for newer ones.
    """

    counts: dict[str, float] | None
    stale_s: float | None
    dropped: float


@dataclass(frozen=True)
class PipelineHealth:
    """All that the page shows of the pipeline.

    Attributes:
        hops: In the order in which a reading passes them.
        others: Reports of the stations that are not hops.
        dead_letters: The dead letters of all servers.
    """

    hops: list[Hop]
    others: list[HopReport]
    dead_letters: DeadLetterCounts

    def worst(self) -> tuple[HopState, list[str]]:
        """The worst state of any hop, and the hops in that state."""
        state: HopState = max((hop.state for hop in self.hops), key=STATE_RANK.__getitem__, default="unknown")
        return state, [hop.name for hop in self.hops if hop.state == state]


def assess(
    stations: list[StationReport], database_away: str | None, broker_away: str | None, *, shares_disk: bool = False
) -> PipelineHealth:
    """The health of the pipeline, from what the stations and this page see.

    Args:
        stations: What is known of each station.
        database_away: Why this page cannot read the database; None if it can.
        broker_away: Why this page is not connected to the broker, empty if unknown; None if it is connected.
        shares_disk: Whether the database is known to be on one disk with the outbox of a gateway beside this page.
    """
    gateways = [station for station in stations if station.station == "gateway"]
    servers = [station for station in stations if station.station == "server"]
    database = _seen_from_page("notReadable", database_away)
    if shares_disk:
        database.notes.append(("oneDisk", {}))  # good to know, and no fault: as it is installed, it is so
    reports = {
        "radio": _seen_from(gateways, _radio),
        "gateway": [_station_itself(station, _gateway) for station in gateways],
        "outbox": _seen_from(gateways, _outbox),
        "broker": [*_seen_from([*gateways, *servers], _broker), _seen_from_page("notConnected", broker_away)],
        "server": [_station_itself(station, _server) for station in servers],
        "database": [*_seen_from(servers, _database), database],
        "commit": _seen_from(gateways, _commit),
    }
    others = [_station_itself(station, _other_station) for station in stations if station.station in OTHER_STATIONS]
    return PipelineHealth([Hop(name, reports[name]) for name in HOPS], others, _dead_letters(servers))


# --- from station reports to hop reports ------------------------------------------------------------------------------


class Problem(NamedTuple):
    """Something that a person should know of a hop: how bad it is (`ok`: only good to know), and its note."""

    state: HopState
    code: NoteCode
    values: dict[str, object] = {}  # noqa: RUF012 - never changed


View = Callable[[StationReport], HopReport]
"""How a hop looks in the report of a station that answers."""


def _seen_from(stations: Iterable[StationReport], view: View) -> list[HopReport]:
    """A hop as seen by stations that are not the hop itself; `unknown` to one that does not answer."""
    return [view(station) if station.contact == "answers" else _unknown(station, view) for station in stations]


def _unknown(station: StationReport, view: View) -> HopReport:
    """The report on a hop from a station that does not answer: its last values, judged as unknown."""
    last = view(station) if station.age_s is not None else HopReport(station.station, station.address, "unknown")
    notes: list[Note] = [("notTold", {"station": station.station})] if station.address else [("noPort", {})]
    return replace(last, state="unknown", per_minute=None, ahead_s={}, notes=notes, stale_s=station.age_s)


def _station_itself(station: StationReport, view: View) -> HopReport:
    """The report on a hop that is the station itself."""
    if station.address is None:
        return HopReport(station.station, None, "unknown", notes=[("noPort", {})])
    if station.contact == "not_polled":
        return HopReport(station.station, station.address, "unknown", notes=[("unasked", {})])
    if station.contact == "unreachable":
        notes: list[Note] = [("noAnswer", {"reason": station.reason or ""})]
        if station.age_s is None:
            notes.append(("neverAnswered", {}))
        return HopReport(station.station, station.address, "unreachable", notes=notes, stale_s=station.age_s)
    return _with_writes(view(station), station)


def _with_writes(report: HopReport, station: StationReport) -> HopReport:
    """The report with what the station writes in a day, and a note if that is more than its budget."""
    daily = daily_writes(station.now)
    if daily is None:
        return report
    report = replace(report, written_mb=daily.written_mb)
    if not daily.is_too_much:
        return report
    note: Note = ("writesTooMuch", {"written": daily.written_mb, "budget": daily.budget_mb})
    return replace(report, state=max(report.state, "warn", key=STATE_RANK.__getitem__), notes=[*report.notes, note])


def _hop_report(station: StationReport, problems: Iterable[Problem], per_minute: float | None) -> HopReport:
    """A hop report with the state of its worst problem; `ok` without problems."""
    ranked = sorted(problems, key=lambda problem: -STATE_RANK[problem.state])
    state: HopState = ranked[0].state if ranked else "ok"
    notes: list[Note] = [(problem.code, problem.values) for problem in ranked]
    return HopReport(station.station, station.address, state, per_minute=per_minute, notes=notes)


def _increased(
    station: StationReport, code: NoteCode, metric: Counter | Gauge, state: HopState = "warn", **labels: str
) -> Iterator[Problem]:
    """A problem if `metric` rose in the last minute; its note has the rise and the labels."""
    count = station.increase(metric, **labels)
    if count:
        yield Problem(state, code, {"count": count, **labels})


SOON: dict[Ahead, NoteCode] = {
    "outboxFull": "outboxFullSoon",
    "diskFull": "diskFullSoon",
    "lettersFull": "lettersFullSoon",
}


def _full_soon(station: StationReport, *names: Ahead) -> Iterator[Problem]:
    """A problem for each of these buffers of the station that will be full within a day."""
    for name, seconds in full_soon(station.now, *names):
        yield Problem("warn", SOON[name], {"seconds": seconds})


def _failed_checks(station: StationReport, other_hops: tuple[str, ...], state: HopState = "down") -> Iterator[Problem]:
    """A problem for each of the station's checks that fails, except those that belong to other hops."""
    for name, passes in station.checks.items():
        if not passes and name not in other_hops:
            yield Problem(state, "checkFails", {"check": name})


# --- the hops ---------------------------------------------------------------------------------------------------------


def _radio(gateway: StationReport) -> HopReport:
    return _hop_report(gateway, _radio_problems(gateway), gateway.per_minute(metrics.PACKETS))


def _radio_problems(gateway: StationReport) -> Iterator[Problem]:
    ports = gateway.now.by_label(metrics.SERIAL_UP, "port")
    for port, is_open in ports.items():
        if not is_open:
            yield Problem("warn" if any(ports.values()) else "down", "portClosed", {"port": port})
    for reason in gateway.now.by_label(metrics.REJECTED, "reason"):
        yield from _increased(gateway, "rejected", metrics.REJECTED, reason=reason)
    yield from _increased(gateway, "repliesLate", metrics.REPLIES_LATE)


def _gateway(gateway: StationReport) -> HopReport:
    sent = gateway.per_minute(metrics.PUBLISHES, event="RX", result="sent")
    problems = [*_failed_checks(gateway, ("broker", "outbox", "serial")), *_full_soon(gateway, "diskFull")]
    return replace(_hop_report(gateway, problems, sent), ahead_s=times_ahead(gateway.now, "diskFull"))


def _outbox(gateway: StationReport) -> HopReport:
    waiting, oldest_s = gateway.now.total(metrics.OUTBOX_EVENTS), gateway.now.total(metrics.OUTBOX_OLDEST_S)
    report = _hop_report(gateway, _outbox_problems(gateway), gateway.per_minute(metrics.COMMIT_ACKS))
    ahead_s = times_ahead(gateway.now, "outboxFull", "keptReach")
    return replace(report, waiting=waiting, oldest_s=oldest_s, track=gateway.outbox_track, ahead_s=ahead_s)


def _outbox_problems(gateway: StationReport) -> Iterator[Problem]:
    if gateway.checks.get("outbox") is False:
        yield Problem("down", "outboxFull")
    yield from _full_soon(gateway, "outboxFull")
    yield from _increased(gateway, "outboxRefused", metrics.OUTBOX_REJECTED_READINGS, "down")
    for outcome, count in gateway.now.by_label(metrics.OUTBOX_DAMAGED, "outcome").items():
        if count:
            yield Problem("warn", "outboxDamaged", {"count": count, "outcome": outcome})
    waiting, oldest_s = gateway.now.total(metrics.OUTBOX_EVENTS) or 0, gateway.now.total(metrics.OUTBOX_OLDEST_S) or 0
    growth = gateway.increase(metrics.OUTBOX_EVENTS)
    if waiting and growth and oldest_s >= health_limits.PAGE_OUTBOX_GROWING_AGE_S:
        yield Problem("warn", "outboxGrows", {"count": growth})
    elif waiting and oldest_s >= health_limits.PAGE_OUTBOX_OLD_S:
        yield Problem("warn", "outboxOld")


def _broker(station: StationReport) -> HopReport:
    is_gateway = station.station == "gateway"
    sent, received = station.per_minute(metrics.PUBLISHES, result="sent"), station.per_minute(metrics.MESSAGES)
    return _hop_report(station, _broker_problems(station), sent if is_gateway else received)


def _broker_problems(station: StationReport) -> Iterator[Problem]:
    if station.now.total(metrics.BROKER_UP) == 0:
        yield Problem("down", "notConnected")
    yield from _increased(station, "brokerDrops", metrics.BROKER_DROPPED)
    yield from _increased(station, "connectionLost", metrics.RECONNECTS)
    for result in ("refused", "failed"):
        count = station.increase(metrics.PUBLISHES, event="RX", result=result)
        if count:
            yield Problem("warn", "publishFailed", {"count": count, "result": result})


def _seen_from_page(code: NoteCode, reason: str | None) -> HopReport:
    """A hop as this page sees it; `reason` says why it is down, None if it is not."""
    if reason is None:
        return HopReport("web", None, "ok")
    return HopReport("web", None, "down", notes=[(code, {"reason": reason})])


def _server(server: StationReport) -> HopReport:
    report = _hop_report(server, _server_problems(server), server.per_minute(metrics.MESSAGES, event="RX"))
    return replace(report, ahead_s=times_ahead(server.now, "diskFull", "lettersFull"))


def _server_problems(server: StationReport) -> Iterator[Problem]:
    yield from _failed_checks(server, ("broker", "database", "dead_letters"))
    if server.checks.get("dead_letters") is False:
        yield Problem("down", "lettersFull")
    yield from _full_soon(server, "diskFull", "lettersFull")
    yield from _increased(server, "inboxOverrun", metrics.INBOX_OVERRUNS)
    yield from _increased(server, "badMessages", metrics.MESSAGES_REJECTED)


def _database(server: StationReport) -> HopReport:
    stored = server.per_minute(metrics.READINGS_PROCESSED, outcome="stored")
    return _hop_report(server, _database_problems(server), stored)


def _database_problems(server: StationReport) -> Iterator[Problem]:
    if server.now.total(metrics.DATABASE_UP) == 0:
        yield Problem("down", "rowsRefused")
    yield from _increased(server, "insertRetries", metrics.INSERT_RETRIES)
    for outcome in ("parked", "bad_row", "mismatch"):
        yield from _increased(server, "rowsDeadLettered", metrics.READINGS_PROCESSED, outcome=outcome)


def _commit(gateway: StationReport) -> HopReport:
    return _hop_report(gateway, _commit_problems(gateway), gateway.per_minute(metrics.COMMIT_ACKS))


def _commit_problems(gateway: StationReport) -> Iterator[Problem]:
    for status in ("dropped", "bad"):
        yield from _increased(gateway, "acksLost", metrics.COMMIT_ACKS, status=status)
    yield from _increased(gateway, "acksMismatched", metrics.COMMIT_ACKS_MISMATCHED)
    oldest_s = gateway.now.total(metrics.OUTBOX_OLDEST_S) or 0
    if oldest_s >= health_limits.PAGE_COMMIT_SLOW_S and not gateway.per_minute(metrics.COMMIT_ACKS):
        yield Problem("warn", "noAcks")
    delay_s = gateway.mean(metrics.COMMIT_ACK_SECONDS)
    if delay_s is not None:
        yield Problem("ok", "ackDelay", {"seconds": delay_s})


def _other_station(station: StationReport) -> HopReport:
    rate = station.per_minute(OTHER_STATIONS[station.station])
    return _hop_report(station, _failed_checks(station, (), "warn"), rate)


def _dead_letters(servers: list[StationReport]) -> DeadLetterCounts:
    known = [server for server in servers if server.age_s is not None]
    counts: dict[str, float] = {}
    for server in known:
        for reason, count in server.now.by_label(metrics.DEAD_LETTERS, "reason").items():
            counts[reason] = counts.get(reason, 0) + count
    silent = [server.age_s or 0 for server in known if server.contact != "answers"]
    dropped = sum(server.now.total(metrics.DEAD_LETTERS_DROPPED) or 0 for server in known)
    return DeadLetterCounts(counts if known else None, max(silent, default=None), dropped)
