"""`aoii lab convert`: reads a recording as people have it, and writes the plain form that every command reads."""

import argparse
import csv
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aoii.commands.arguments import Commands, file_path, output_file
from aoii.commands.lab import arguments

if TYPE_CHECKING:
    from aoii.simulation.recording_rows import Row

HEADER = ("timestamp", "node", "temperature", "humidity")

# the help of the options with these names
ZONE = "zone of times that name none, such as Europe/Berlin or UTC-8 (default: UTC)"
REPEATS = "which of several rows at one instant to keep (default: refuse the file when there are many)"
GAPS = "a row with an empty temperature or humidity, or with NaN, is a gap (default: an error)"


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "convert",
        help="write a recording in the plain form: zone, repeated instants, gaps, files of the older installation",
        description="Read a recording as people have it, say what is in it, and write it as "
        "timestamp[,node],temperature,humidity in UTC. "
        "It also reads the older installation's logs of gateway and node, and what aoii export writes.",
        epilog="Example: aoii lab convert experiment_log_online.csv --zone UTC-8 --out recording.csv.gz",
    )
    add = parser.add_argument
    add("file", type=file_path, metavar="FILE", help="CSV, packed or not")
    add("--zone", type=arguments.zone, default=UTC, metavar="ZONE", help=ZONE)
    add("--repeats", choices=("first", "last"), default="", help=REPEATS)
    add("--gaps", action="store_true", help=GAPS)
    add("--out", type=output_file, metavar="FILE", help="write it here; packed if the name ends in .gz")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from aoii.simulation import recordings
    from aoii.simulation.recording_rows import Choices

    choices = Choices(options.zone, options.repeats, options.gaps)
    by_node = recordings.rows_by_node(options.file, choices, arguments.say)
    for node, rows in by_node.items():
        times = f"{_utc(rows[0].unix_s)} to {_utc(rows[-1].unix_s)}"
        print(f"{node or options.file.name.partition('.')[0]}: {len(rows)} rows, {times}")
    if options.out is not None:
        _write(options.out, by_node)
        print(f"wrote {options.out}")
    return 0


def _write(path: Path, by_node: "Mapping[str, Sequence[Row]]") -> None:
    has_nodes = any(by_node)
    with arguments.writing_table(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEADER if has_nodes else [name for name in HEADER if name != "node"])
        for row in sorted(row for rows in by_node.values() for row in rows):
            values = f"{row.temperature_c / 100:.2f}", f"{row.humidity_c / 100:.2f}"
            writer.writerow([_utc(row.unix_s), *([row.node] if has_nodes else []), *values])


def _utc(unix_s: float) -> str:
    at = datetime.fromtimestamp(unix_s, UTC)
    return at.isoformat(timespec="milliseconds" if at.microsecond else "seconds").replace("+00:00", "Z")
