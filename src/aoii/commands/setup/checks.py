"""The live test of `aoii setup`: what `aoii doctor` checks, with the settings that are not written yet, and more.

No message is published but an empty commit acknowledgement, and no table is made.
"""

import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace

from aoii.broker import publish_probe
from aoii.broker.client import Client, Message, Subscription
from aoii.broker.messages import READINGS_TOPIC, ack_topic, encode_commit_ack
from aoii.broker.repair_messages import ask_topic, holds_topic
from aoii.commands import doctor_checks, doctor_ports, doctor_reach
from aoii.commands.doctor_installation import Group
from aoii.commands.findings import Finding
from aoii.core.errors import AoiiError
from aoii.runtime.advice import document
from aoii.server import rights
from aoii.settings import Settings

SUBJECTS = ("disk", "serial port", "web page", "broker", "database")
WRITERS = ("server", "edgelog")  # stations that add rows
WAIT_S = 5.0


def examine(stations: Mapping[str, Settings], *, has_units: bool) -> Iterator[tuple[str, Finding]]:
    """Try what each station needs; each finding with its station.

    Args:
        stations: The settings of the stations of this machine.
        has_units: Whether units run the stations: then who runs this need not be able to open ports and folders.
    """
    silent: set[str] = set()
    for station, values in stations.items():
        group = Group((station,), values, frozenset({station}), is_only=True)
        for check in doctor_checks.CHECKS:
            if station in check.stations and check.subject in SUBJECTS and not (has_units and check.subject == "disk"):
                for finding in _findings(check, group, station, values):
                    if not (has_units and finding.cause == "port_rights"):
                        yield station, finding
                    if finding.cause.startswith("broker_") and finding.cause != "broker_acl_write":
                        silent.add(station)  # it cannot log in, so that nothing can reach it
    if {"gateway", "server"} <= stations.keys() - silent:
        yield from (("gateway", finding) for finding in _acks(stations["gateway"], stations["server"]))


def _findings(check: doctor_checks.Check, group: Group, station: str, values: Settings) -> Iterator[Finding]:
    if (away := _away(check.subject, values)) is not None:
        yield away
        return
    is_well = True
    for finding in doctor_checks.run(check, group):
        try:
            judged = _judged(finding, station, values)
        except AoiiError as error:
            judged = doctor_checks.fault(check.subject, error)
        is_well = is_well and judged.remedy is None
        yield judged
    if check.subject == "broker" and is_well:
        yield from _refused(station, values)
    if check.subject == "serial port" and is_well:
        yield from _busy(station, values)


def _away(subject: str, values: Settings) -> Finding | None:
    """Why nobody answers at the address of broker or database."""
    if subject == "broker":
        return doctor_reach.unreachable(subject, values.mqtt.host, values.mqtt.port, "MQTT_BROKER and MQTT_PORT")
    if subject == "database" and values.database.host is not None:
        at = values.database
        return doctor_reach.unreachable(subject, values.database.host, at.port, "MYSQL_HOST and MYSQL_PORT")
    return None


def _judged(finding: Finding, station: str, values: Settings) -> Finding:
    """A finding of the doctor's, for a station that has not run yet."""
    if finding.cause == "database_read_only" and station in WRITERS:
        remedy = f"give the user the rights in {document('deploy/mariadb/grants.sql')}"
        return replace(finding, remedy=remedy, cause="database_rights", about=values.database.user)
    if finding.cause != "database_schema":
        return finding
    if station not in WRITERS:
        return Finding("database", "it has no tables yet; the server makes them")
    if rights.may_make_tables(values.database):
        return Finding("database", "it has no tables yet; the server makes them when it starts")
    state = f"user {values.database.user} may not make the tables in {values.database.name}"
    remedy = "run `aoii migrate` as a user who may, or give this one all rights in the database"
    return Finding("database", state, remedy, cause="database_rights", about=values.database.user)


def topics(station: str, gateway: str) -> tuple[str, ...]:
    """The topics on which a station publishes."""
    return {
        "gateway": (READINGS_TOPIC, holds_topic(gateway)),
        "server": (ack_topic(gateway), ask_topic(gateway)),
    }.get(station, ())


def _refused(station: str, values: Settings) -> Iterator[Finding]:
    """A finding for each topic on which the broker takes nothing of this station."""
    user = doctor_checks.broker_user(values) or "anonymous"
    try:
        refused = publish_probe.refused(values.mqtt, topics(station, values.gateway.gateway_id))
    except AoiiError as error:
        yield replace(doctor_checks.fault("broker", error), cause="broker_silent")
        return
    for topic in refused:
        state = f"the broker does not let user {user} publish on {topic}"
        remedy = f"in the broker's ACL, let {user} write {topic}, and restart the broker"
        yield Finding("broker", state, remedy, cause="broker_acl_write", about=f"{topic}, {user}")


def _busy(station: str, values: Settings) -> Iterator[Finding]:
    if station == "gateway":
        ports = values.gateway.serial_ports
    else:
        ports = tuple(source.port for source in values.server.edge_log_ports)
    if doctor_reach.accepts("127.0.0.1", values.status_ports[station]):
        return  # the station runs, and has the port
    for port in ports:
        if (finding := doctor_ports.in_use("serial port", port)) is not None:
            yield finding


def _acks(gateway: Settings, server: Settings) -> Iterator[Finding]:
    """Whether a commit acknowledgement of the server reaches the gateway: an empty one, which changes nothing.

    A broker grants a subscription that its ACL forbids, and delivers nothing; so only the way itself tells.
    """
    topic = ack_topic(gateway.gateway.gateway_id)
    arrived = threading.Event()

    def take(_: Message) -> None:
        arrived.set()

    try:
        own = f"aoii-setup-{os.getpid()}"
        reader = Client(gateway.mqtt, f"{own}-gateway", subscriptions=[Subscription(topic, 1)], on_message=take)
        writer = Client(server.mqtt, f"{own}-server")
    except AoiiError:
        return  # of TLS files, which the tests before have named
    reader.start()
    writer.start()
    try:
        if not (reader.wait_ready(WAIT_S) and writer.wait_ready(WAIT_S)):
            return  # for a reason that the tests before have named
        writer.publish(topic, encode_commit_ack([]), 1)
        user = doctor_checks.broker_user(gateway) or "anonymous"
        if arrived.wait(WAIT_S):
            yield Finding("broker", "what the server answers reaches the gateway")
        else:
            state = f"what the server publishes on {topic} does not reach user {user}"
            remedy = f"in the broker's ACL, let {user} read {topic} and the server's user write it"
            yield Finding("broker", state, remedy, cause="broker_acl_read", about=f"{topic}, {user}")
    finally:
        writer.stop()
        reader.stop()
