"""Builds the dashboards: `.venv/bin/python deploy/grafana/build.py` writes dashboards/*.json.

A test builds them again and compares, asks promtool about every PromQL query and a real database about every SQL query.
It refuses to know where Prometheus and the database are: that is in provisioning/datasources.
"""

import json
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders.common import ReduceDataOptions, VizLegendOptions
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import DataSourceRef, VariableRefresh

from aoii.runtime.health_limits import HEARTBEAT_GRACE_S, SILENCE_S

HERE = Path(__file__).parent
PROMETHEUS = DataSourceRef(type_val="prometheus", uid="aoii-prometheus")
MYSQL = DataSourceRef(type_val="mysql", uid="aoii-mysql")
WIDTH, HEIGHT = 12, 8  # of 24 columns; a row is 30 pixels


class Sql(Dataquery, Builder["Sql"]):
    """A query for the MySQL data source, for which the SDK has no type."""

    def __init__(self, text: str, form: str) -> None:
        self._text = text
        self._form = form

    def build(self) -> "Sql":
        """Itself: it is what it builds."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana keeps it."""
        return {
            "refId": "A",
            "datasource": MYSQL.to_json(),
            "editorMode": "code",
            "format": self._form,
            "rawQuery": True,
            "rawSql": self._text,
        }


Chart = timeseries.Panel | stat.Panel | table.Panel


def _asked(panel: Chart, title: str, unit: str, meaning: str, *queries: tuple[str, str]) -> Chart:
    """A panel with PromQL queries, each with its legend."""
    panel = panel.title(title).unit(unit).description(meaning).datasource(PROMETHEUS)
    for number, (expr, legend) in enumerate(queries):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + number))
        panel = panel.with_target(query.datasource(PROMETHEUS))
    return panel


def lines(title: str, unit: str, meaning: str, *queries: tuple[str, str]) -> Chart:
    """A chart over time."""
    return _asked(_chart(), title, unit, meaning, *queries)


def _chart() -> timeseries.Panel:
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
    return timeseries.Panel().span(WIDTH).height(HEIGHT).legend(legend).fill_opacity(8)


def figure(title: str, unit: str, meaning: str, expr: str) -> Chart:
    """One number, as it is now."""
    panel = stat.Panel().span(6).height(4).reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    return _asked(panel, title, unit, meaning, (expr, ""))


def rows(title: str, unit: str, meaning: str, text: str) -> Chart:
    """A table from the database."""
    panel = table.Panel().span(WIDTH).height(HEIGHT).title(title).unit(unit).description(meaning)
    return panel.datasource(MYSQL).with_target(Sql(text, "table"))


def history(title: str, unit: str, meaning: str, text: str) -> Chart:
    """A chart over time from the database."""
    return _chart().title(title).unit(unit).description(meaning).datasource(MYSQL).with_target(Sql(text, "time_series"))


def page(uid: str, title: str, meaning: str, since: str, *panels: Chart) -> dashboard.Dashboard:
    """A dashboard that nobody edits in Grafana: it would be written over."""
    made = dashboard.Dashboard(title).uid(f"aoii-{uid}").tags(["aoii"]).description(meaning).readonly()
    made = made.time(since, "now").refresh("30s").timezone("browser")
    for panel in panels:
        made = made.with_panel(panel)
    return made


LIMIT = f"clamp_min(aoii_node_heartbeat_seconds + {HEARTBEAT_GRACE_S}, {SILENCE_S})"
SILENT = "time() - aoii_node_last_heard_timestamp_seconds"


def _quantile(share: float, name: str, window: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({name}_bucket[{window}])))"


def fleet() -> dashboard.Dashboard:
    """All nodes at once."""
    return page(
        "fleet",
        "aoii: fleet",
        "How all nodes are, and who needs a visit.",
        "now-24h",
        figure(
            "Nodes heard within their time",
            "short",
            "Nodes that were heard as lately as they should have been.",
            f"count({SILENT} <= {LIMIT}) or vector(0)",
        ),
        figure(
            "Silent nodes",
            "short",
            "Nodes that are silent for longer than they may be.",
            f"count({SILENT} > {LIMIT}) or vector(0)",
        ),
        figure("Alerts", "short", "What fires now.", 'count(ALERTS{alertstate="firing"}) or vector(0)'),
        figure(
            "Last row",
            "dateTimeFromNow",
            "When a reading last came into the database.",
            "max(aoii_last_received_timestamp_seconds) * 1000",
        ),
        lines(
            "Time since a node was heard",
            "s",
            "A line that climbs above the heartbeat is a node to look for.",
            (SILENT, "{{node}}"),
        ),
        lines(
            "Age of incorrect information, at least",
            "s",
            "For how long the picture had been wrong when the last report came.",
            ("aoii_node_aoii_seconds", "{{node}}"),
        ),
        lines(
            "Error of the belief, temperature",
            "celsius",
            "How far the gateway's belief was from the last live reading.",
            ("aoii_node_error_celsius", "{{node}}"),
            ("max(aoii_gateway_threshold_celsius)", "threshold"),
        ),
        lines(
            "Error of the belief, humidity",
            "humidity",
            "How far the gateway's belief was from the last live reading.",
            ("aoii_node_error_humidity_percent", "{{node}}"),
            ("max(aoii_gateway_threshold_humidity_percent)", "threshold"),
        ),
        lines(
            "Readings of a day",
            "short",
            "A periodic node would send 1,440.",
            ("aoii:node_readings:per_day", "{{node}}"),
        ),
        lines("Signal", "dBm", "Strength of the last frame.", ("aoii_node_rssi_dbm", "{{node}}")),
        lines("Battery", "volt", "Below 3.4 V a node says that it is low.", ("aoii_node_battery_volts", "{{node}}")),
        lines(
            "Missing readings",
            "short",
            "Numbers that were skipped and have not come.",
            ("aoii_node_readings_missing", "{{node}}"),
        ),
        rows(
            "Nodes in the database",
            "none",
            "Rows and the last reading of each node.",
            "SELECT node, COUNT(*) AS readings, MAX(event_time) AS last, AVG(ABS(error_temp)) AS mae_temp, "
            "AVG(ABS(error_humidity)) AS mae_humidity FROM readings WHERE $__timeFilter(event_time) "
            "GROUP BY node ORDER BY node",
        ),
    )


def node() -> dashboard.Dashboard:
    """One node."""
    choice = (
        dashboard.QueryVariable("node")
        .label("Node")
        .datasource(PROMETHEUS)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .query("label_values(aoii_node_readings_total, node)")
    )
    made = page(
        "node",
        "aoii: node",
        "What one node measured, what was believed, and how it gets through.",
        "now-24h",
        history(
            "Temperature",
            "celsius",
            "Readings, and what the gateway believed when they came.",
            "SELECT event_time AS time, actual_temp AS measured, pred_temp AS believed FROM readings "
            "WHERE $__timeFilter(event_time) AND node = ${node:sqlstring} ORDER BY event_time",
        ),
        history(
            "Humidity",
            "humidity",
            "Readings, and what the gateway believed when they came.",
            "SELECT event_time AS time, actual_humidity AS measured, pred_humidity AS believed FROM readings "
            "WHERE $__timeFilter(event_time) AND node = ${node:sqlstring} ORDER BY event_time",
        ),
        lines(
            "Readings",
            "short",
            "By kind, in an hour.",
            ('sum by (kind) (increase(aoii_node_readings_total{node="$node"}[1h]))', "{{kind}}"),
        ),
        lines(
            "Age of incorrect information, at least",
            "s",
            "For how long the picture had been wrong when the last report came.",
            ('aoii_node_aoii_seconds{node="$node"}', "age"),
        ),
        lines(
            "Error of the belief",
            "celsius",
            "How far the gateway's belief was from the last live reading.",
            ('aoii_node_error_celsius{node="$node"}', "error"),
            ("max(aoii_gateway_threshold_celsius)", "threshold"),
        ),
        lines(
            "Radio",
            "short",
            "Strength in dBm and signal-to-noise ratio in dB of the last frame.",
            ('aoii_node_rssi_dbm{node="$node"}', "strength"),
            ('aoii_node_snr_db{node="$node"}', "signal to noise"),
        ),
        lines("Battery", "volt", "As the node measures it.", ('aoii_node_battery_volts{node="$node"}', "battery")),
        lines(
            "Time since it was heard",
            "s",
            "And the longest silence that is well.",
            ('time() - aoii_node_last_heard_timestamp_seconds{node="$node"}', "silent"),
            ('aoii_node_heartbeat_seconds{node="$node"}', "heartbeat"),
        ),
        lines(
            "Clock of an old node",
            "s",
            "Its clock minus the gateway's.",
            ('aoii_node_clock_offset_seconds{node="$node"}', "offset"),
        ),
        lines(
            "Faults",
            "short",
            "What it says of itself, and readings that have not come.",
            ('aoii_node_battery_low{node="$node"}', "battery low"),
            ('aoii_node_sensor_fault{node="$node"}', "sensor fault"),
            ('aoii_node_readings_missing{node="$node"}', "missing"),
        ),
    )
    return made.with_variable(choice)


def delivery() -> dashboard.Dashboard:
    """The way from the radio to the database, hop by hop."""
    return page(
        "delivery",
        "aoii: delivery",
        "Every hop from the radio to the database, with what waits there.",
        "now-6h",
        figure(
            "Waiting in the outbox", "short", "Readings without a commit acknowledgement.", "sum(aoii_outbox_events)"
        ),
        figure("Oldest of them", "s", "Minutes: something behind the gateway.", "max(aoii_outbox_oldest_age_seconds)"),
        figure("Dead letters", "short", "What the database would not take.", "sum(aoii_dead_letters)"),
        figure(
            "Duplicates absorbed",
            "short",
            "Deliveries in a day that were known already.",
            'sum(increase(aoii_readings_processed_total{outcome="duplicate"}[1d]))',
        ),
        lines(
            "Up",
            "short",
            "Stations, their brokers, their database, their ports.",
            ('up{job="aoii-gateway"}', "{{station}}"),
            ("aoii_broker_up", "{{station}} to broker"),
            ("aoii_database_up", "{{station}} to database"),
            ("aoii_gateway_serial_up", "{{port}}"),
        ),
        lines("Packets", "short", "In a minute, by kind.", ("aoii:packets:per_minute", "{{kind}}")),
        lines(
            "Refused from the radio",
            "short",
            "In ten minutes, by reason.",
            ("sum by (reason) (increase(aoii_gateway_rejected_total[10m]))", "{{reason}}"),
        ),
        lines(
            "Publishes",
            "short",
            "In ten minutes, by event, QoS, result and the broker's reason code.",
            (
                "sum by (event, qos, result, reason) (increase(aoii_gateway_publishes_total[10m]))",
                "{{event}} QoS {{qos}} {{result}} {{reason}}",
            ),
        ),
        lines("Outbox", "short", "Readings that wait.", ("aoii_outbox_events", "{{instance}}")),
        lines(
            "Outbox, bytes",
            "bytes",
            "What they occupy, and what they may.",
            ("aoii_outbox_bytes", "used"),
            ("aoii_outbox_limit_bytes", "limit"),
        ),
        lines(
            "Latency",
            "s",
            "95 of 100 are faster: from the sample to the commit, and from acceptance to its acknowledgement.",
            ("aoii:end_to_end_latency_seconds:p95", "sample to commit"),
            ("aoii:commit_ack_seconds:p95", "acceptance to acknowledgement"),
        ),
        lines(
            "Batches",
            "s",
            "Time of one transaction, 95 of 100.",
            (_quantile(0.95, "aoii_insert_transaction_duration_seconds", "10m"), "time"),
        ),
        lines(
            "Rows of a batch",
            "short",
            "Mean.",
            ("rate(aoii_batch_rows_sum[10m]) / rate(aoii_batch_rows_count[10m])", "rows"),
        ),
        lines(
            "Rows",
            "short",
            "In ten minutes, by outcome.",
            ("sum by (outcome) (increase(aoii_readings_processed_total[10m]))", "{{outcome}}"),
        ),
        lines("Dead letters", "short", "By reason.", ("sum by (reason) (aoii_dead_letters)", "{{reason}}")),
        lines(
            "Retries and drops",
            "short",
            "In ten minutes: inserts tried again, connections lost, messages that the broker dropped.",
            ("sum(increase(aoii_insert_retries_total[10m]))", "inserts"),
            ("sum by (station) (increase(aoii_broker_reconnects_total[10m]))", "{{station}} reconnects"),
            ("sum(increase(aoii_broker_dropped_messages[10m]))", "dropped by the broker"),
        ),
        lines("Clocks", "s", "Gateway minus server.", ("aoii_gateway_clock_offset_seconds", "{{gateway}}")),
        lines("Disks", "bytes", "Room left.", ("aoii_disk_free_bytes", "{{station}}")),
    )


def learning() -> dashboard.Dashboard:
    """What the learning is worth."""
    return page(
        "learning",
        "aoii: learning",
        "Packets saved, and how wrong the picture was meanwhile.",
        "now-7d",
        figure("Packets of a day", "short", "All nodes together.", "sum(aoii:node_readings:per_day)"),
        figure(
            "Of a periodic fleet's",
            "percentunit",
            "Share of what nodes that send every minute would send.",
            "sum(aoii:node_readings:per_day) / (1440 * count(aoii:node_readings:per_day))",
        ),
        figure(
            "Mean error, temperature",
            "celsius",
            "Of the belief when a reading arrived, over all readings.",
            "max(aoii_mae_temp)",
        ),
        figure(
            "Mean error, humidity",
            "humidity",
            "Of the belief when a reading arrived, over all readings.",
            "max(aoii_mae_humidity)",
        ),
        lines("Readings of a day", "short", "By node.", ("aoii:node_readings:per_day", "{{node}}")),
        lines(
            "Reports that found the picture wrong",
            "percentunit",
            "The rest are heartbeats and first words.",
            ("aoii:wrong_reports:share1d", "{{node}}"),
        ),
        lines(
            "Error when a reading arrives, temperature",
            "celsius",
            "Median and 95 of 100; at the threshold by design.",
            (_quantile(0.5, "aoii_estimate_error_celsius", "1h"), "median"),
            (_quantile(0.95, "aoii_estimate_error_celsius", "1h"), "95 of 100"),
            ("max(aoii_gateway_threshold_celsius)", "threshold"),
        ),
        lines(
            "Error when a reading arrives, humidity",
            "humidity",
            "Median and 95 of 100; at the threshold by design.",
            (_quantile(0.5, "aoii_estimate_error_humidity_percent", "1h"), "median"),
            (_quantile(0.95, "aoii_estimate_error_humidity_percent", "1h"), "95 of 100"),
            ("max(aoii_gateway_threshold_humidity_percent)", "threshold"),
        ),
        lines(
            "Age of incorrect information, at least",
            "s",
            "95 of 100 reports of an hour ended less.",
            (_quantile(0.95, "aoii_node_aoii_reports_seconds", "1h"), "95 of 100"),
        ),
        history(
            "Packets by day and kind",
            "short",
            "From the database.",
            "SELECT CAST(DATE(event_time) AS DATETIME) AS time, kind AS metric, COUNT(*) AS value FROM readings "
            "WHERE $__timeFilter(event_time) GROUP BY 1, 2 ORDER BY 1",
        ),
        history(
            "Inference on the node",
            "µs",
            "From the nodes' USB log.",
            "SELECT event_time AS time, node AS metric, inference_time_us AS value FROM edge_log "
            "WHERE $__timeFilter(event_time) ORDER BY event_time",
        ),
        rows(
            "Skipped and sent",
            "none",
            "From the nodes' USB log: what each sample led to.",
            "SELECT node, status, COUNT(*) AS samples FROM edge_log WHERE $__timeFilter(event_time) "
            "GROUP BY node, status ORDER BY node, status",
        ),
    )


def built() -> dict[str, str]:
    """The text of every file, by its name."""
    pages = {"fleet": fleet(), "node": node(), "delivery": delivery(), "learning": learning()}
    return {
        f"{name}.json": json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        for name, made in pages.items()
    }


if __name__ == "__main__":
    for name, text in built().items():
        (HERE / "dashboards" / name).write_text(text, encoding="utf-8")
