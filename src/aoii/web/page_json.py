"""What the page gets from the server, as JSON: the one place that knows its form. The page decodes it in static/api.js.

Points are rows without names, to save space; `COLUMNS` has the names, in the order of the values.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from aoii.web.estimate_accuracy import is_coarse
from aoii.web.fleet_settings import FleetSettings
from aoii.web.pipeline_health import PipelineHealth
from aoii.web.points import Extremes, Points
from aoii.web.summary import STATES, Summary

Json = dict[str, object]

COLUMNS = {
    "samples": ("at_ms", "temp", "hum", "pred_temp", "pred_hum"),
    "estimates": ("at_ms", "temp", "hum"),
    "packets": ("at_ms", "temp", "hum", "pred_temp", "pred_hum", "kind", "qos"),
    "extremes": Extremes._fields,
}


def encode_points(points: Points) -> Json:
    """The rows of every kind of point."""
    return {kind: encode_rows(kind, rows) for kind, rows in points._asdict().items()}


def encode_rows(kind: str, points: Iterable[object]) -> list[list[object]]:
    """Points of one kind as rows of `COLUMNS`; numbers are rounded to hundredths, enough for a line."""
    return [[_short(getattr(point, name)) for name in COLUMNS[kind]] for point in points]


def encode_summary(summary: Summary | None) -> Json | None:
    """A node's summary; None for none."""
    return None if summary is None else asdict(summary)


def encode_tile(summary: Summary) -> Json:
    """A node's summary as its tile in the fleet needs it: without what only charts use."""
    return {name: value for name, value in asdict(summary).items() if name != "wrong_spans"}


def encode_settings(settings: FleetSettings, *, is_simulated: bool) -> Json:
    """What does not change while the page is open."""
    names = ("beta_temp", "beta_hum", "period_s", "silent_after_s", "speed")
    content = {name: getattr(settings, name) for name in names}
    return content | {"simulated": is_simulated, "coarse": is_coarse(settings)}


def encode_states(summaries: Sequence[Summary]) -> Json:
    """The number of nodes by their worst state; states without a node are left out."""
    counts = Counter(summary.states[0] for summary in summaries)
    return {state: counts[state] for state in STATES if counts[state]}


def encode_pipeline(health: PipelineHealth) -> Json:
    """Every hop with its reports, the stations that are no hop, and the dead letters."""
    return asdict(health) | {"hops": [asdict(hop) | {"state": hop.state} for hop in health.hops]}


def encode_worst(health: PipelineHealth) -> Json:
    """The worst state in the pipeline, and the hops in that state."""
    state, hops = health.worst()
    return {"state": state, "hops": hops}


def _short(value: object) -> object:
    return round(value, 2) if isinstance(value, float) else value
