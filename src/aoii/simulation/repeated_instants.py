"""Rows of one node at the same instant: counts them, and names what usually makes them. Pure.

A logger whose clock was set back a few seconds repeats a few instants; such rows are taken as samples of their own, as
they always were. Where more instants repeat, rows cannot be samples one after another, and every count of packets
would be wrong.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from aoii.core.errors import InputError
from aoii.simulation.recording_rows import CONVERT, Row

TOLERATED_SHARE = 0.01  # loggers at hand repeat up to 0.25 % (one of 400 rows); a clock change in a week repeats 0.6 %
REMEDY = (
    f"local time over a clock change: {CONVERT} with --zone; rows that were written twice: {CONVERT} with --repeats "
    "first; two sensors in one file: add a column node"
)


def resolve_repeats(path: Path, rows: Sequence[Row], keep: str) -> tuple[list[Row], str]:
    """The rows of one node in the order of the file, and what to say about repeated instants; empty: nothing.

    Args:
        path: The file, for the message.
        rows: In the order of the file.
        keep: `first` or `last` of several rows at one instant; empty: all of them.

    Raises:
        InputError: More than `TOLERATED_SHARE` of the rows repeat an instant, and all are to be kept.
    """
    seen: dict[float, Row] = {}
    repeated = [row for row in rows if seen.setdefault(row.unix_s, row) is not row]
    if not repeated:
        return list(rows), ""
    if keep:
        chosen = seen if keep == "first" else {row.unix_s: row for row in rows}
        return list(chosen.values()), f"{len(repeated)} of {len(rows)} rows repeat an instant; the {keep} is kept"
    problem = (
        f"{len(repeated)} of {len(rows)} rows{f' of node {rows[0].node}' if rows[0].node else ''} repeat an instant, "
        f"first in line {repeated[0].line} ({repeated[0].timestamp}): probably {_likely_cause(rows, repeated, seen)}"
    )
    if len(repeated) > TOLERATED_SHARE * len(rows):
        raise InputError(f"{path}: {problem}", REMEDY)
    return list(rows), f"{problem}. Each counts as a sample of its own; {REMEDY}"


def _likely_cause(rows: Sequence[Row], repeated: Sequence[Row], seen: dict[float, Row]) -> str:
    readings = [(row.temperature_c, row.humidity_c) for row in repeated]
    if readings == [(seen[row.unix_s].temperature_c, seen[row.unix_s].humidity_c) for row in repeated]:
        return "rows that were written twice"
    steps_back = sum(later.unix_s < earlier.unix_s for earlier, later in itertools.pairwise(rows))
    return "local time over a clock change" if 1 <= steps_back <= 2 else "two sensors in one file"
