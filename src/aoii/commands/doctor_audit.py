"""Whether the server's audit comes through: a question to each gateway, and the answer back.

A broker may grant a subscription and deliver nothing, so that only a round trip proves the two topics. Where both ends
are on this machine, the topic that does not pass is named.
"""

import time
from collections.abc import Iterator

from aoii.commands.findings import Finding
from aoii.runtime import health_limits, metrics
from aoii.runtime.advice import document
from aoii.runtime.metric_snapshot import MetricSnapshot

SUBJECT = "audit"
ENOUGH_LOOKS = 3  # at the tables: the first two are 10 s apart, the third comes after 10 min, if nothing is missing


def examine(gateway_id: str, gateway: MetricSnapshot | None, server: MetricSnapshot | None) -> Iterator[Finding]:
    """What the server says of each gateway; without it, what the gateway of this machine has heard of the server.

    Args:
        gateway_id: The name of the gateway of this machine.
        gateway: Its metrics; None: it does not answer here.
        server: The same of the server.
    """
    now_s = time.time()
    if server is not None:
        yield from _looks(server, now_s)
        for name, answered_s in sorted(server.by_label(metrics.AUDIT_ROUND_TRIP_S, "gateway").items()):
            yield _answered(name, answered_s, now_s, gateway if name == gateway_id else None, server)
    elif gateway is not None:
        yield from _asked(gateway_id, gateway, now_s)


def _looks(server: MetricSnapshot, now_s: float) -> Iterator[Finding]:
    """A finding if the audit does not look at the tables."""
    looked_s, failures = server.total(metrics.AUDIT_LOOK_S), server.total(metrics.AUDIT_FAILURES) or 0
    if looked_s is None or not server.total(metrics.DATABASE_UP):
        return  # a server of an older version; or something else is to be repaired first
    if now_s - looked_s > health_limits.AUDIT_LOOK_LATE_S and (looked_s or failures):
        ago = f"{_hours(now_s - looked_s)} ago" if looked_s else "never"
        state = f"it last looked for missing readings {ago}, and has failed {failures:g} times since the server started"
        yield Finding(SUBJECT, state, "see `audit failed` in the server's log")


def _answered(
    name: str, answered_s: float, now_s: float, gateway: MetricSnapshot | None, server: MetricSnapshot
) -> Finding:
    """Whether a gateway answers; `gateway` are its metrics, if it is on this machine."""
    if _is_recent(answered_s, now_s):
        return Finding(SUBJECT, f"gateway {name} answered the server {(now_s - answered_s) / 60:.0f} min ago")
    cause, remedy = _cause(name, gateway, now_s)
    if answered_s:
        return Finding(SUBJECT, f"gateway {name} last answered {_hours(now_s - answered_s)} ago; {cause}", remedy)
    state = f"gateway {name} has not answered since the server started; {cause}"
    if (server.total(metrics.AUDIT_LOOKS) or 0) < ENOUGH_LOOKS:
        return Finding(SUBJECT, f"{state}; wait ten minutes, and look again", is_checked=False)
    return Finding(SUBJECT, state, remedy)


def _cause(name: str, gateway: MetricSnapshot | None, now_s: float) -> tuple[str, str]:
    """What does not pass, as far as it can be seen, and what to do."""
    see = f"see {document('docs/howto/MQTT.md')}"
    ask, holds = f"aoii/ask/{name}", f"aoii/holds/{name}"
    if gateway is None:
        return (
            f"it is off, or {ask} or {holds} does not pass the broker",
            f"see whether it runs; in the broker's ACL, let the server write {ask} and read {holds}, and the gateway "
            f"the reverse ({see}); a gateway older than version 0.3 cannot answer: update it",
        )
    asked_s = gateway.total(metrics.REPAIR_QUESTION_S)
    if asked_s is None:
        return "the gateway is older than version 0.3", "update the gateway"
    if not _is_recent(asked_s, now_s):
        remedy = f"in the broker's ACL, let the server's user write {ask} and the gateway's read it ({see})"
        return f"the server's questions do not reach it on {ask}", remedy
    if _are_refused(gateway):
        return f"the broker refuses its answers on {holds}", _allow_reports(name)
    remedy = f"in the broker's ACL, let the server's user read aoii/holds/+ ({see}); see the server's log"
    return f"it is asked, and its answers on {holds} do not reach the server", remedy


def _asked(name: str, gateway: MetricSnapshot, now_s: float) -> Iterator[Finding]:
    """What a gateway can tell of a server that is not on this machine."""
    asked_s = gateway.total(metrics.REPAIR_QUESTION_S)
    if asked_s is None:
        return
    if _are_refused(gateway) and not gateway.total(metrics.REPAIR_REPORTS, result="sent"):  # or it was mended since
        yield Finding(
            SUBJECT, f"the broker refuses what the gateway reports on aoii/holds/{name}", _allow_reports(name)
        )
    remedy = f"let the gateway's user read aoii/ask/{name} in the broker's ACL (see {document('docs/howto/MQTT.md')})"
    if _is_recent(asked_s, now_s):
        yield Finding(SUBJECT, f"the server asked this gateway {(now_s - asked_s) / 60:.0f} min ago")
    elif asked_s:
        remedy = f"see whether the server runs, and {remedy}"
        yield Finding(SUBJECT, f"no question of the server has come for {_hours(now_s - asked_s)}", remedy)
    else:
        state = f"no question of the server has come since the gateway started; if that was hours ago, {remedy}"
        yield Finding(SUBJECT, f"{state}, or update the server to version 0.3", is_checked=False)


def _are_refused(gateway: MetricSnapshot) -> bool:
    return bool(gateway.total(metrics.REPAIR_REPORTS, result="refused"))


def _allow_reports(name: str) -> str:
    where = f"see {document('docs/howto/MQTT.md')}"
    return f"let the gateway's user write aoii/holds/{name} in the broker's ACL, and restart the broker ({where})"


def _is_recent(unix_s: float, now_s: float) -> bool:
    return now_s - unix_s <= health_limits.AUDIT_ANSWER_LATE_S


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h"
