"""The way of a reading, hop by hop: what waits where, since when, how fast it moves, and what is wrong there.

Pure: what the stations said of themselves goes in (figures.py), the delivery page comes out. Each hop is told by
whoever can see it, so a hop may have several accounts: each gateway of its outbox; gateway, server and this page of the
broker. What nobody can see is `unknown`, never `ok`: when a station does not answer, that is its own hop's fault, and
the hops that only it can see are unknown, with the figures that it gave last.

Notes are codes with values; the page has the words (static/words/).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal

from aoii.web.metric_snapshot import Report
from aoii.web.node_health import NodeHealth

State = Literal["ok", "warn", "unreachable", "down", "unknown"]
Note = tuple[str, dict[str, object]]
RANK: dict[State, int] = {"unknown": 0, "ok": 1, "warn": 2, "unreachable": 3, "down": 4}

HOPS = ("radio", "gateway", "outbox", "broker", "server", "database", "commit")
BESIDE = ("csv", "edgelog")  # not on the way of a reading
NODE_METRICS = {
    "battery_v": "aoii_node_battery_volts",
    "rssi_dbm": "aoii_node_rssi_dbm",
    "snr_db": "aoii_node_snr_db",
    "missing": "aoii_node_readings_missing",
    "low_battery": "aoii_node_battery_low",
    "sensor_fault": "aoii_node_sensor_fault",
}
OLD_S = 30.0  # an outbox empties within a second of an answer from the database
GROWING_S = 5.0  # younger readings are on their way
SLOW_COMMIT_S = 10.0


@dataclass(frozen=True)
class Account:
    """What one of those who can see a hop tells of it.

    Attributes:
        by: The station, or `web` for this page itself.
        address: The station's status port.
        state: How the hop is.
        waiting: What waits here now, and since when the oldest does, in seconds.
        per_minute: How many pass.
        track: What waited over the last minutes, oldest first.
        notes: What a person should know, the worst first.
        stale_s: Age of the figures when the station does not answer any more; None: they are of now, or there are none.
    """

    by: str
    address: str | None
    state: State
    waiting: float | None = None
    oldest_s: float | None = None
    per_minute: float | None = None
    track: tuple[float, ...] = ()
    notes: list[Note] = field(default_factory=list)
    stale_s: float | None = None


@dataclass(frozen=True)
class Hop:
    """One hop: the worst of what is known of it, and every account."""

    hop: str
    state: State
    accounts: list[Account]


@dataclass(frozen=True)
class Own:
    """What this page sees itself.

    Attributes:
        database_away: Why it cannot read the database; None when it can.
        broker_up: Whether it hears the broker.
        broker_trouble: What the broker's connection complains of.
    """

    database_away: str | None
    broker_up: bool
    broker_trouble: str | None = None


@dataclass(frozen=True)
class Letters:
    """Dead letters by reason.

    Attributes:
        counts: None: no server has told.
        stale_s: As for `Account`.
        dropped: Malformed payloads that gave way in the full ring.
    """

    counts: dict[str, float] | None
    stale_s: float | None
    dropped: float


Delivery = tuple[list[Hop], list[Account], Letters]


def delivery(reports: list[Report], own: Own) -> Delivery:
    """The hops in their order, the stations beside the way, and the dead letters."""
    gateways = [report for report in reports if report.station == "gateway"]
    servers = [report for report in reports if report.station == "server"]
    accounts = {
        "radio": _each(gateways, _radio),
        "gateway": [_station(report, _gateway) for report in gateways],
        "outbox": _each(gateways, _outbox),
        "broker": [*_each(gateways, _broker), *_each(servers, _broker), _own_broker(own)],
        "server": [_station(report, _server) for report in servers],
        "database": [*_each(servers, _database), _own_database(own)],
        "commit": _each(gateways, _commit),
    }
    beside = [_station(report, _beside) for report in reports if report.station in BESIDE]
    return [_hop(name, accounts[name]) for name in HOPS], beside, _letters(servers)


def node_health(reports: list[Report]) -> dict[str, NodeHealth]:
    """What the gateways tell of their nodes now, by node; of a node that several hear, the strongest tells."""
    found: dict[str, NodeHealth] = {}
    for report in reports:
        if report.told != "answers":
            continue
        told = {name: report.now.by(metric, "node") for name, metric in NODE_METRICS.items()}
        for node in set().union(*told.values()):
            heard = NodeHealth(
                battery_v=told["battery_v"].get(node) or None,  # 0: the node does not measure it
                rssi_dbm=told["rssi_dbm"].get(node),
                snr_db=told["snr_db"].get(node),
                missing=told["missing"].get(node),
                low_battery=bool(told["low_battery"].get(node)),
                sensor_fault=bool(told["sensor_fault"].get(node)),
            )
            known = found.get(node)
            if known is None or (heard.rssi_dbm or -999) > (known.rssi_dbm or -999):
                found[node] = heard
    return found


def worst(hops: list[Hop]) -> tuple[State, list[str]]:
    """The state of the whole way, and the hops that are in it."""
    states = [hop.state for hop in hops]
    state: State = max(states, key=lambda state: RANK[state], default="unknown")
    return state, [hop.hop for hop in hops if hop.state == state]


def _hop(name: str, accounts: list[Account]) -> Hop:
    states = [account.state for account in accounts]
    return Hop(name, max(states, key=lambda state: RANK[state], default="unknown"), accounts)


Look = Callable[[Report], Account]


def _each(reports: Iterable[Report], look: Look) -> list[Account]:
    """What stations tell of a hop that is not themselves: unknown when they do not answer."""
    found = []
    for report in reports:
        if report.told == "answers":
            found.append(look(report))
            continue
        old = look(report) if report.age_s is not None else Account(report.station, report.address, "unknown")
        found.append(
            Account(
                report.station,
                report.address,
                "unknown",
                waiting=old.waiting,
                oldest_s=old.oldest_s,
                track=old.track,
                notes=[("notTold", {"station": report.station})] if report.address else [("noPort", {})],
                stale_s=report.age_s,
            )
        )
    return found


def _station(report: Report, look: Look) -> Account:
    """The hop that is a station itself."""
    if report.address is None:
        return Account(report.station, None, "unknown", notes=[("noPort", {})])
    if report.told == "unasked":
        return Account(report.station, report.address, "unknown", notes=[("unasked", {})])
    if report.told == "unreachable":
        notes: list[Note] = [("noAnswer", {"reason": report.reason or ""})]
        if report.age_s is None:
            notes.append(("neverAnswered", {}))
        return Account(report.station, report.address, "unreachable", notes=notes, stale_s=report.age_s)
    return look(report)


def _account(report: Report, problems: list[tuple[State, Note]], **figures: object) -> Account:
    """An account whose state is that of its worst problem."""
    problems = sorted(problems, key=lambda problem: -RANK[problem[0]])
    state: State = problems[0][0] if problems else "ok"
    return Account(report.station, report.address, state, notes=[note for _, note in problems], **figures)  # type: ignore[arg-type]  # by name


def _threads(report: Report, ours: tuple[str, ...]) -> list[tuple[State, Note]]:
    """The checks of a station that are about itself and fail; what it waits for are other hops."""
    failed = [name for name, is_well in report.checks.items() if not is_well and name not in ours]
    return [("down", ("checkFails", {"check": name})) for name in failed]


def _radio(report: Report) -> Account:
    problems: list[tuple[State, Note]] = []
    ports = report.now.by("aoii_gateway_serial_up", "port")
    for port, is_open in ports.items():
        if not is_open:
            problems.append(("warn" if any(ports.values()) else "down", ("portClosed", {"port": port})))
    for reason in report.now.by("aoii_gateway_rejected_total", "reason"):
        count = report.grown("aoii_gateway_rejected_total", reason=reason)
        if count:
            problems.append(("warn", ("rejected", {"count": count, "reason": reason})))
    late = report.grown("aoii_gateway_replies_late_total")
    if late:
        problems.append(("warn", ("repliesLate", {"count": late})))
    return _account(report, problems, per_minute=report.per_minute("aoii_gateway_packets_total"))


def _gateway(report: Report) -> Account:
    problems = _threads(report, ("broker", "outbox", "serial"))
    sent = report.per_minute("aoii_gateway_publishes_total", event="RX", result="sent")
    return _account(report, problems, per_minute=sent)


def _outbox(report: Report) -> Account:
    problems: list[tuple[State, Note]] = []
    waiting, oldest_s = report.value("aoii_outbox_events"), report.value("aoii_outbox_oldest_age_seconds")
    if report.checks.get("outbox") is False:
        problems.append(("down", ("outboxFull", {})))
    refused = report.grown("aoii_outbox_full_total")
    if refused:
        problems.append(("down", ("outboxRefused", {"count": refused})))
    for outcome, count in report.now.by("aoii_outbox_damaged_total", "outcome").items():
        if count:
            problems.append(("warn", ("outboxDamaged", {"count": count, "outcome": outcome})))
    grown = (waiting or 0) - (report.before.total("aoii_outbox_events") or 0)
    if waiting and grown > 0 and (oldest_s or 0) >= GROWING_S:
        problems.append(("warn", ("outboxGrows", {"count": grown})))
    elif waiting and (oldest_s or 0) >= OLD_S:
        problems.append(("warn", ("outboxOld", {})))
    return _account(
        report,
        problems,
        waiting=waiting,
        oldest_s=oldest_s,
        per_minute=report.per_minute("aoii_commit_acks_total"),
        track=report.waiting,
    )


def _broker(report: Report) -> Account:
    problems: list[tuple[State, Note]] = []
    if report.value("aoii_broker_up") == 0:
        problems.append(("down", ("notConnected", {})))
    dropped = report.grown("aoii_broker_dropped_messages")
    if dropped:
        problems.append(("warn", ("brokerDrops", {"count": dropped})))
    lost = report.grown("aoii_broker_reconnects_total")
    if lost:
        problems.append(("warn", ("connectionLost", {"count": lost})))
    for result in ("refused", "failed"):
        count = report.grown("aoii_gateway_publishes_total", event="RX", result=result)
        if count:
            problems.append(("warn", ("publishFailed", {"count": count, "result": result})))
    if report.station == "gateway":
        rate = report.per_minute("aoii_gateway_publishes_total", result="sent")
    else:
        rate = report.per_minute("aoii_messages_received_total")
    return _account(report, problems, per_minute=rate)


def _own_broker(own: Own) -> Account:
    notes: list[Note] = [] if own.broker_up else [("notConnected", {"reason": own.broker_trouble or ""})]
    return Account("web", None, "ok" if own.broker_up else "down", notes=notes)


def _server(report: Report) -> Account:
    problems = _threads(report, ("broker", "database", "dead_letters"))
    if report.checks.get("dead_letters") is False:
        problems.append(("down", ("lettersFull", {})))
    overruns = report.grown("aoii_inbox_overruns_total")
    if overruns:
        problems.append(("warn", ("inboxOverrun", {"count": overruns})))
    rejected = report.grown("aoii_messages_rejected_total")
    if rejected:
        problems.append(("warn", ("badMessages", {"count": rejected})))
    return _account(
        report,
        problems,
        waiting=report.value("aoii_inbox_messages"),
        per_minute=report.per_minute("aoii_messages_received_total", event="RX"),
    )


def _database(report: Report) -> Account:
    problems: list[tuple[State, Note]] = []
    if report.value("aoii_database_up") == 0:
        problems.append(("down", ("rowsRefused", {})))
    retries = report.grown("aoii_insert_retries_total")
    if retries:
        problems.append(("warn", ("insertRetries", {"count": retries})))
    for outcome in ("parked", "bad_row", "mismatch"):
        count = report.grown("aoii_rows_total", outcome=outcome)
        if count:
            problems.append(("warn", ("rowsParked", {"count": count, "outcome": outcome})))
    return _account(report, problems, per_minute=report.per_minute("aoii_rows_total", outcome="stored"))


def _own_database(own: Own) -> Account:
    if own.database_away is None:
        return Account("web", None, "ok")
    return Account("web", None, "down", notes=[("notReadable", {"reason": own.database_away})])


def _commit(report: Report) -> Account:
    problems: list[tuple[State, Note]] = []
    for status in ("dropped", "bad"):
        count = report.grown("aoii_commit_acks_total", status=status)
        if count:
            problems.append(("warn", ("acksLost", {"count": count, "status": status})))
    mismatched = report.grown("aoii_commit_acks_mismatched_total")
    if mismatched:
        problems.append(("warn", ("acksMismatched", {"count": mismatched})))
    acks = report.per_minute("aoii_commit_acks_total")
    if (report.value("aoii_outbox_oldest_age_seconds") or 0) >= SLOW_COMMIT_S and not acks:
        problems.append(("warn", ("noAcks", {})))
    count = report.grown("aoii_commit_ack_seconds_count")
    notes: list[Note] = []
    if count:
        notes.append(("ackDelay", {"seconds": report.grown("aoii_commit_ack_seconds_sum") / count}))
    account = _account(report, problems, per_minute=acks)
    account.notes.extend(notes)
    return account


def _beside(report: Report) -> Account:
    rates = {"csv": "aoii_csv_rows_total", "edgelog": "aoii_edge_log_lines_total"}
    failed: list[tuple[State, Note]] = [
        ("warn", ("checkFails", {"check": name})) for name, is_well in report.checks.items() if not is_well
    ]
    return _account(report, failed, per_minute=report.per_minute(rates[report.station]))


def _letters(servers: list[Report]) -> Letters:
    told = [report for report in servers if report.age_s is not None]
    if not told:
        return Letters(None, None, 0)
    counts: dict[str, float] = {}
    for report in told:
        for reason, count in report.now.by("aoii_dead_letters", "reason").items():
            counts[reason] = counts.get(reason, 0) + count
    silent = [report.age_s or 0 for report in told if report.told != "answers"]
    dropped = sum(report.value("aoii_dead_letters_dropped_total") or 0 for report in told)
    return Letters(counts, max(silent) if silent else None, dropped)
