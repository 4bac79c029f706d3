"""Encodes what the web page gets from the server as JSON; only this file and static/api.js know the form.

static/api.js decodes it. To save space, points are rows without names; `COLUMNS` has the names in the order of the
values.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from aoii.server.ledger import PARTS, Account
from aoii.web.estimate_accuracy import is_coarse
from aoii.web.fleet_settings import FleetSettings
from aoii.web.pipeline_health import PipelineHealth
from aoii.web.points import Extremes, Points
from aoii.web.summary import NODE_STATES, Summary

Json = dict[str, object]

COLUMNS = {
    "samples": ("at_ms", "temp", "hum", "pred_temp", "pred_hum"),
    "estimates": ("at_ms", "temp", "hum"),
    "packets": ("at_ms", "temp", "hum", "pred_temp", "pred_hum", "kind", "qos"),
    "extremes": Extremes._fields,
}


def encode_points(points: Points) -> Json:
    """The rows of each kind of point, by kind."""
    return {kind: encode_rows(kind, rows) for kind, rows in points._asdict().items()}


def encode_rows(kind: str, points: Iterable[object]) -> list[list[object]]:
    """Points of one kind as rows of `COLUMNS`; numbers are rounded to hundredths, which is enough for a chart."""
    return [[_rounded(getattr(point, name)) for name in COLUMNS[kind]] for point in points]


def encode_summary(summary: Summary | None) -> Json | None:
    """A node's summary; None if there is none."""
    return None if summary is None else asdict(summary)


def encode_tile(summary: Summary) -> Json:
    """A node's summary for its tile on the fleet page: without the spans that only charts show."""
    return {name: value for name, value in asdict(summary).items() if name != "wrong_spans"}


def encode_settings(settings: FleetSettings, *, is_simulated: bool) -> Json:
    """The settings, which do not change while the page is open; `coarse`: see `is_coarse`."""
    names = ("beta_temp", "beta_hum", "period_s", "silent_after_s", "speed")
    content = {name: getattr(settings, name) for name in names}
    return content | {"simulated": is_simulated, "coarse": is_coarse(settings)}


def encode_states(summaries: Sequence[Summary]) -> Json:
    """How many nodes have each state as their worst; states of no node are left out."""
    counts = Counter(summary.states[0] for summary in summaries)
    return {state: counts[state] for state in NODE_STATES if counts[state]}


def encode_pipeline(health: PipelineHealth) -> Json:
    """Every hop with its reports, the stations that are not hops, and the dead letters."""
    return asdict(health) | {"hops": [asdict(hop) | {"state": hop.state} for hop in health.hops]}


def encode_ledger(accounts: Sequence[Account], age_s: float, *, has_letters: bool) -> Json:
    """The account of every node and epoch; `has_letters`: whether dead letters are known, or count as waiting."""
    names = ("node", "epoch", "first", "last", "is_balanced", *PARTS)
    rows = [{name: getattr(account, name) for name in names} for account in accounts]
    return {"age_s": round(age_s), "has_letters": has_letters, "accounts": rows}


def encode_worst(health: PipelineHealth) -> Json:
    """The worst state in the pipeline, and the hops in that state."""
    state, hops = health.worst()
    return {"state": state, "hops": hops}


def _rounded(value: object) -> object:
    return round(value, 2) if isinstance(value, float) else value
