"""Builds the dashboards: `.venv/bin/python deploy/grafana/build.py` writes dashboards/*.json.

A test builds them again and compares, and checks every PromQL query with promtool and every SQL query with a database.
Where Prometheus and the database are is in provisioning/datasources.
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
        """Itself."""
        return self

    def to_json(self) -> dict[str, object]:
        """The form in which Grafana stores it."""
        return {
            "refId": "A",
            "datasource": MYSQL.to_json(),
            "editorMode": "code",
            "format": self._form,
            "rawQuery": True,
            "rawSql": self._text,
        }


Chart = timeseries.Panel | stat.Panel | table.Panel


def _with_queries(panel: Chart, title: str, unit: str, meaning: str, *queries: tuple[str, str]) -> Chart:
    """A panel with PromQL queries, each with its legend."""
    panel = panel.title(title).unit(unit).description(meaning).datasource(PROMETHEUS)
    for index, (expr, legend) in enumerate(queries):
        query = prometheus.Dataquery().expr(expr).legend_format(legend).ref_id(chr(ord("A") + index))
        panel = panel.with_target(query.datasource(PROMETHEUS))
    return panel


def lines(title: str, unit: str, meaning: str, *queries: tuple[str, str]) -> Chart:
    """A chart over time."""
    return _with_queries(_chart(), title, unit, meaning, *queries)


def _chart() -> timeseries.Panel:
    legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
    return timeseries.Panel().span(WIDTH).height(HEIGHT).legend(legend).fill_opacity(8)


def number(title: str, unit: str, meaning: str, expr: str) -> Chart:
    """One number, as it is now."""
    panel = stat.Panel().span(6).height(4).reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
    return _with_queries(panel, title, unit, meaning, (expr, ""))


def rows(title: str, unit: str, meaning: str, text: str) -> Chart:
    """A table from the database."""
    panel = table.Panel().span(WIDTH).height(HEIGHT).title(title).unit(unit).description(meaning)
    return panel.datasource(MYSQL).with_target(Sql(text, "table"))


def history(title: str, unit: str, meaning: str, text: str) -> Chart:
    """A chart over time from the database."""
    return _chart().title(title).unit(unit).description(meaning).datasource(MYSQL).with_target(Sql(text, "time_series"))


def page(uid: str, title: str, meaning: str, since: str, *panels: Chart) -> dashboard.Dashboard:
    """A dashboard that cannot be edited in Grafana: the next provisioning would overwrite it."""
    made = dashboard.Dashboard(title).uid(f"aoii-{uid}").tags(["aoii"]).description(meaning).readonly()
    made = made.time(since, "now").refresh("30s").timezone("browser")
    for panel in panels:
        made = made.with_panel(panel)
    return made


DEAD = 'min by (job, node) (aoii_node_liveness{state="dead"})'
SILENT = "min by (job, node) (aoii_node_silence_seconds)"


def _quantile(share: float, name: str, window: str) -> str:
    return f"histogram_quantile({share}, sum by (le) (rate({name}_bucket[{window}])))"


def aoii(series: str, legend: str) -> Chart:
    """The age of incorrect information."""
    meaning = "How long the estimate had been wrong when the last report arrived."
    return lines("Age of incorrect information, at least", "s", meaning, (series, legend))


def battery(meaning: str, series: str, legend: str) -> Chart:
    """The batteries of the nodes that measure theirs."""
    return lines("Battery", "volt", meaning, (series, legend)).no_value("No node here measures its battery")


def errors(title: str, unit: str, limit: str, series: str, legend: str) -> Chart:
    """How far the gateway's estimates are from live readings."""
    meaning = "Error of the gateway's estimate at the last live reading."
    return lines(title, unit, meaning, (series, legend), (f"max(aoii_gateway_threshold_{limit})", "threshold"))


def error_quantiles(title: str, unit: str, limit: str) -> Chart:
    """The errors of all live readings."""
    name = f"aoii_estimate_error_{limit}"
    return lines(
        title,
        unit,
        "Median and 95th percentile; near the threshold by design.",
        (_quantile(0.5, name, "1h"), "median"),
        (_quantile(0.95, name, "1h"), "95th percentile"),
        (f"max(aoii_gateway_threshold_{limit})", "threshold"),
    )


def shown(table: str, columns: str) -> str:
    """A table of the rows in the range that Grafana shows: `time` in UTC, and `columns`.

    The time is that of the sample, if the row has one that can be true. Rows of the older installation have none, and
    those of a demo have the dates of its recording: they stand where they were stored. `created_at` is local time and
    has the index; where `created_utc` is missing, it is taken to be in the zone of the database's machine.
    """
    has_own = "event_time BETWEEN created_at - INTERVAL 1 YEAR AND created_at + INTERVAL 2 DAY"
    stored = "COALESCE(created_utc, CONVERT_TZ(created_at, 'SYSTEM', '+00:00'))"
    return (
        f"(SELECT event_time AS time, {columns} FROM {table} WHERE $__timeFilter(event_time) AND {has_own} "  # noqa: S608
        f"UNION ALL SELECT {stored}, {columns} FROM {table} "
        "WHERE created_at BETWEEN $__timeFrom() - INTERVAL 1 DAY AND $__timeTo() + INTERVAL 1 DAY "
        f"AND {stored} BETWEEN $__timeFrom() AND $__timeTo() AND ({has_own}) IS NOT TRUE) AS shown"
    )


def measured(title: str, unit: str, column: str) -> Chart:
    """What one node measured, and what the gateway estimated."""
    return history(
        title,
        unit,
        "Readings, and the gateway's estimate just before each.",
        f"SELECT time, actual_{column} AS measured, pred_{column} AS estimated "  # noqa: S608
        f"FROM {shown('readings', f'node, actual_{column}, pred_{column}')} "
        "WHERE node = ${node:sqlstring} ORDER BY time",
    )


FLEET = (
    number(
        "Live nodes", "short", "Nodes whose silence is shorter than their deadline.", f"count({DEAD} == 0) or vector(0)"
    ),
    number("Dead nodes", "short", "Nodes silent for twice as long as promised.", f"count({DEAD} == 1) or vector(0)"),
    number("Alerts", "short", "Alerts that are firing now.", 'count(ALERTS{alertstate="firing"}) or vector(0)'),
    number(
        "Last row",
        "dateTimeFromNow",
        "When a reading last reached the database.",
        "max(aoii_last_received_timestamp_seconds > 0) * 1000",
    ),
    lines("Time since the last frame", "s", "A line above its heartbeat is a node to check.", (SILENT, "{{node}}")),
    aoii("aoii_node_aoii_seconds", "{{node}}"),
    errors("Error of the estimate, temperature", "celsius", "celsius", "aoii_node_error_celsius", "{{node}}"),
    errors(
        "Error of the estimate, humidity",
        "humidity",
        "humidity_percent",
        "aoii_node_error_humidity_percent",
        "{{node}}",
    ),
    lines(
        "Readings per day",
        "short",
        "Of the last day, and what a node that sends every sample would have sent since the gateway has known it.",
        ("aoii:node_readings:per_day", "{{node}}"),
        ("max(aoii:node_sample_periods:per_day)", "a periodic node"),
    ),
    lines("Signal", "dBm", "Signal strength of the last frame.", ("aoii_node_rssi_dbm", "{{node}}")),
    battery("Below 3.4 V a node reports a low battery.", "aoii_node_battery_volts", "{{node}}"),
    lines(
        "Missing readings",
        "short",
        "Counters that were skipped and whose readings have not arrived.",
        ("aoii_node_readings_missing", "{{node}}"),
    ),
    rows(
        "Nodes in the database",
        "none",
        "Rows, last reading and mean errors of each node.",
        "SELECT node, COUNT(*) AS readings, MAX(time) AS last, AVG(ABS(error_temp)) AS mae_temp, "  # noqa: S608
        f"AVG(ABS(error_humidity)) AS mae_humidity FROM {shown('readings', 'node, error_temp, error_humidity')} "
        "GROUP BY node ORDER BY node",
    ),
)


NODE = (
    measured("Temperature", "celsius", "temp"),
    measured("Humidity", "humidity", "humidity"),
    lines(
        "Readings",
        "short",
        "Per hour, by kind.",
        ('sum by (kind) (increase(aoii_node_readings_total{node="$node"}[1h]))', "{{kind}}"),
    ),
    aoii('aoii_node_aoii_seconds{node="$node"}', "age"),
    errors("Error of the estimate", "celsius", "celsius", 'aoii_node_error_celsius{node="$node"}', "error"),
    lines(
        "Radio",
        "short",
        "Signal strength in dBm and signal-to-noise ratio in dB of the last frame.",
        ('aoii_node_rssi_dbm{node="$node"}', "strength"),
        ('aoii_node_snr_db{node="$node"}', "signal to noise"),
    ),
    battery("As measured by the node.", 'aoii_node_battery_volts{node="$node"}', "battery"),
    lines(
        "Time since its last frame",
        "s",
        "With its heartbeat, the longest silence that is normal.",
        ('time() - aoii_node_last_heard_timestamp_seconds{node="$node"}', "silent"),
        ('aoii_node_heartbeat_seconds{node="$node"}', "heartbeat"),
    ),
    lines(
        "Clock of an old node",
        "s",
        "Its clock minus the gateway's.",
        ('aoii_node_clock_offset_seconds{node="$node"}', "offset"),
    ).no_value("Not an old node"),
    lines(
        "Faults",
        "short",
        "Faults that the node reports, and readings that have not arrived.",
        ('aoii_node_battery_low{node="$node"}', "battery low"),
        ('aoii_node_sensor_fault{node="$node"}', "sensor fault"),
        ('aoii_node_readings_missing{node="$node"}', "missing"),
    ),
)


DELIVERY = (
    number("Waiting in the outbox", "short", "Readings without a commit acknowledgement.", "sum(aoii_outbox_events)"),
    number(
        "Oldest in the outbox",
        "s",
        "If it is minutes: a fault behind the gateway.",
        "max(aoii_outbox_oldest_age_seconds)",
    ),
    number(
        "Dead letters", "short", "Readings and payloads that the database did not accept.", "sum(aoii_dead_letters)"
    ),
    number(
        "Duplicates absorbed",
        "short",
        "Deliveries in a day of readings that were stored already.",
        'sum(increase(aoii_readings_processed_total{outcome="duplicate"}[1d]))',
    ),
    lines(
        "Up",
        "short",
        "Stations, and their connections to broker, database and serial ports.",
        ('up{job="aoii-gateway"}', "{{station}}"),
        ("aoii_broker_up", "{{station}} to broker"),
        ("aoii_database_up", "{{station}} to database"),
        ("aoii_gateway_serial_up", "{{port}}"),
    ),
    lines("Packets", "short", "Per minute, by kind.", ("aoii:packets:per_minute", "{{kind}}")),
    lines(
        "Rejected from the radio",
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
    lines(
        "Outbox",
        "short",
        "Readings that wait for their commit acknowledgement.",
        ("aoii_outbox_events", "{{instance}}"),
    ),
    lines(
        "Outbox, bytes",
        "bytes",
        "Space in use, and its limit.",
        ("aoii_outbox_bytes", "used"),
        ("aoii_outbox_limit_bytes", "limit"),
    ),
    lines(
        "Time to full",
        "s",
        "At the present rate; a week: it does not fill, or later.",
        ("clamp_max(aoii_outbox_time_to_full_seconds, 604800)", "outbox, {{instance}}"),
        ("clamp_max(aoii_dead_letters_time_to_full_seconds, 604800)", "dead letters"),
        ("clamp_max(aoii_disk_time_to_full_seconds, 604800)", "disk, {{station}}"),
    ),
    lines(
        "Written a day",
        "bytes",
        "What each station writes to its disk, and its budget: a memory card wears out.",
        ("aoii_written_bytes_per_day", "{{station}}, {{instance}}"),
        ("aoii_write_budget_bytes_per_day < +Inf", "budget of {{station}}"),
    ),
    lines(
        "Latency",
        "s",
        "95th percentile, from the sample to the commit and from acceptance to acknowledgement.",
        ("aoii:end_to_end_latency_seconds:p95", "sample to commit"),
        ("aoii:commit_ack_seconds:p95", "acceptance to acknowledgement"),
    ),
    lines(
        "Batches",
        "s",
        "Time of one insert transaction, 95th percentile.",
        (_quantile(0.95, "aoii_insert_transaction_duration_seconds", "10m"), "time"),
    ),
    lines(
        "Rows per batch",
        "short",
        "Mean of ten minutes.",
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
        "Numbers without a row",
        "short",
        "What became of them: the ledger of all nodes, counted every ten minutes at most.",
        ('sum by (part) (aoii_ledger_numbers{part!="stored"})', "{{part}}"),
        ("sum(aoii_ledger_unbalanced_accounts)", "accounts that do not balance"),
    ),
    lines(
        "Retries and drops",
        "short",
        "In ten minutes: inserts retried, connections lost, messages dropped by the broker.",
        ("sum(increase(aoii_insert_retries_total[10m]))", "inserts"),
        ("sum by (station) (increase(aoii_broker_reconnects_total[10m]))", "{{station}} reconnects"),
        ("sum(increase(aoii_broker_dropped_messages[10m]))", "dropped by the broker"),
    ),
    lines(
        "Clocks", "s", "Clock of the gateway minus the server's.", ("aoii_gateway_clock_offset_seconds", "{{gateway}}")
    ),
    lines("Disks", "bytes", "Free space.", ("aoii_disk_free_bytes", "{{station}}")),
)


LEARNING = (
    number("Packets per day", "short", "All nodes together.", "sum(aoii:node_readings:per_day)"),
    number(
        "Share of a periodic fleet",
        "percentunit",
        "Of the last day, compared with nodes that send every sample (SAMPLE_PERIOD_S).",
        "sum(aoii:node_readings:per_day) / (sum(aoii:node_sample_periods:per_day) > 0)",
    ),
    number(
        "Mean error, temperature",
        "celsius",
        "Mean error of the estimate when a reading arrived, over all readings.",
        "max(aoii_mae_temp)",
    ),
    number(
        "Mean error, humidity",
        "humidity",
        "Mean error of the estimate when a reading arrived, over all readings.",
        "max(aoii_mae_humidity)",
    ),
    lines("Readings per day", "short", "By node.", ("aoii:node_readings:per_day", "{{node}}")),
    lines(
        "Reports of a wrong estimate",
        "percentunit",
        "The others are heartbeats and first reports.",
        ("aoii:wrong_reports:share1d", "{{node}}"),
    ),
    error_quantiles("Error when a reading arrives, temperature", "celsius", "celsius"),
    error_quantiles("Error when a reading arrives, humidity", "humidity", "humidity_percent"),
    lines(
        "Age of incorrect information, at least",
        "s",
        "95th percentile of the reports of an hour.",
        (_quantile(0.95, "aoii_node_aoii_reports_seconds", "1h"), "95th percentile"),
    ),
    history(
        "Packets by day and kind",
        "short",
        "From the database.",
        "SELECT CAST(DATE(time) AS DATETIME) AS time, COALESCE(kind, 'unknown') AS metric, COUNT(*) AS value "  # noqa: S608
        f"FROM {shown('readings', 'kind')} GROUP BY 1, 2 ORDER BY 1",
    ),
    history(
        "Inference on the node",
        "µs",
        "From the nodes' USB log.",
        f"SELECT time, node AS metric, inference_time_us AS value FROM {shown('edge_log', 'node, inference_time_us')} "  # noqa: S608
        "ORDER BY time",
    ),
    rows(
        "Samples skipped and sent",
        "none",
        "From the nodes' USB log: the outcome of each sample.",
        f"SELECT node, status, COUNT(*) AS samples FROM {shown('edge_log', 'node, status')} "  # noqa: S608
        "GROUP BY node, status ORDER BY node, status",
    ),
)


def pages() -> dict[str, dashboard.Dashboard]:
    """The dashboards, by name."""
    choice = dashboard.QueryVariable("node").label("Node").datasource(PROMETHEUS)
    choice = choice.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).query("label_values(aoii_node_readings_total, node)")
    return {
        "fleet": page(
            "fleet", "aoii: fleet", "The state of all nodes, and which of them need a visit.", "now-24h", *FLEET
        ),
        "node": page(
            "node",
            "aoii: node",
            "What one node measured, what the gateway estimated, and how the radio link does.",
            "now-24h",
            *NODE,
        ).with_variable(choice),
        "delivery": page(
            "delivery",
            "aoii: delivery",
            "Each hop from the radio to the database, and what waits there.",
            "now-6h",
            *DELIVERY,
        ),
        "learning": page(
            "learning",
            "aoii: learning",
            "Packets saved, and how wrong the estimates were meanwhile.",
            "now-7d",
            *LEARNING,
        ),
    }


def built() -> dict[str, str]:
    """The text of every dashboard file, by name."""
    return {
        f"{name}.json": json.dumps(made.build(), cls=JSONEncoder, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        for name, made in pages().items()
    }


if __name__ == "__main__":
    for name, text in built().items():
        (HERE / "dashboards" / name).write_text(text, encoding="utf-8")
