"""Node health: battery and signal of each node, as the gateways report them. Pure."""

from aoii.runtime import metrics
from aoii.web.station_report import StationReport
from aoii.web.summary import NodeHealth

# Fields of `NodeHealth`, each with the metric that it comes from.
NODE_METRICS = {
    "battery_v": metrics.NODE_BATTERY_V,
    "rssi_dbm": metrics.NODE_RSSI,
    "snr_db": metrics.NODE_SNR,
    "missing": metrics.NODE_MISSING,
    "low_battery": metrics.NODE_BATTERY_LOW,
}


def node_health(stations: list[StationReport]) -> dict[str, NodeHealth]:
    """What the gateways report of their nodes now, by node; if several receive a node, the one with the best signal."""
    found: dict[str, NodeHealth] = {}
    for station in (station for station in stations if station.contact == "answers"):
        values = {name: station.now.by_label(metric, "node") for name, metric in NODE_METRICS.items()}
        for node in set().union(*values.values()):
            reported = NodeHealth(
                battery_v=values["battery_v"].get(node) or None,  # 0: the node does not measure its battery
                rssi_dbm=values["rssi_dbm"].get(node),
                snr_db=values["snr_db"].get(node),
                missing=values["missing"].get(node),
                low_battery=bool(values["low_battery"].get(node)),
            )
            known = found.get(node)
            if known is None or (reported.rssi_dbm or -999) > (known.rssi_dbm or -999):
                found[node] = reported
    return found
