"""The kinds of CSV files that are read as recordings, each by its columns: ours, and those of the older installation.

Pure. To read another kind of file, add a line to KINDS.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SHAPE = "timestamp[,node],temperature,humidity"
NO_TIMES_START = datetime(2000, 1, 1, tzinfo=UTC)  # of a log without times; nobody takes that for a measured date
NO_TIMES_STEP = timedelta(minutes=1)  # the old firmware samples every minute, and its log has every sample


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: What it is.
        columns: The column of each field that it must have: temperature, humidity and, unless it has none, timestamp.
        others: Further columns by which it is told from other kinds.
    """

    name: str
    columns: Mapping[str, str]
    others: Collection[str] = ()


ACTUAL = {"temperature": "actual_t", "humidity": "actual_h"}
EXPORTED = {"timestamp": "event_time", "temperature": "actual_temp", "humidity": "actual_humidity"}
ESTIMATE = "EST"  # the event of a row in a gateway's log that may have no reading

KINDS = (
    # also raw_24h_dataset.csv and Pre_Train_Dataset.csv of the older installation
    Kind("a recording", {name: name for name in ("timestamp", "temperature", "humidity")}),
    Kind("the log of a gateway", {"timestamp": "timestamp", **ACTUAL}, ("event",)),  # experiment_log_online.csv
    Kind("the log of a node", {"timestamp": "timestamp", **ACTUAL}, ("status",)),  # edge_log_0.5.csv and others
    Kind("the log of a node without times", ACTUAL, ("status",)),
    Kind("an export of readings", EXPORTED, ("node",)),  # of `aoii export`
)


def kind_of(columns: Collection[str]) -> Kind | None:
    """The first kind whose columns are all there."""
    return next((kind for kind in KINDS if {*kind.columns.values(), *kind.others} <= set(columns)), None)
