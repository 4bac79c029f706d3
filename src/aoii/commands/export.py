"""`aoii export`: readings of the database as CSV or Parquet."""

import argparse
import sys

from aoii.commands.arguments import Commands, begin_command, instant, output_file

_NOTHING = "no reading is in this range of time; --start and --end are UTC unless they have an offset"


def add_commands(commands: Commands) -> None:
    """Add `aoii export`."""
    export = commands.add_parser(
        "export",
        help="export readings from the database to CSV or Parquet, by time and node",
        description="Write readings to CSV or Parquet. The export is complete: it reads the database, not the broker. "
        "An unknown node is an error (exit code 2); a range without readings gives a header only, and a notice.",
        epilog="Example: aoii export --node 7 --start 2026-01-01 --end 2026-02-01 --out january.parquet",
    )
    add = export.add_argument
    out = "file to write: .csv, .csv.gz (packed) or .parquet (default: standard output, CSV only)"
    add("--out", type=output_file, metavar="FILE", help=out)
    add("--format", choices=("csv", "parquet"), help="default: from the extension of FILE, else csv")
    add("--node", metavar="NAME", help="only this node")
    add("--start", type=instant, metavar="TIME", help="from this time on; ISO 8601, UTC unless it has an offset")
    add("--end", type=instant, metavar="TIME", help="up to this time, exclusive")
    export.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from aoii.server import export, export_file

    form = export_file.form_of(options.out, options.format)
    values = begin_command(options, "server")
    progress = _print_count if sys.stderr.isatty() else lambda rows: None
    rows = export.export(values, options.node, options.start, options.end, options.out, form, progress)
    print(f"{rows:,} rows written to {options.out or 'standard output'}", file=sys.stderr)
    if rows == 0:
        print(f"aoii export: {_NOTHING if options.start or options.end else 'the database has no reading'}",
              file=sys.stderr)  # fmt: skip
    return 0


def _print_count(rows: int) -> None:
    """Show how many rows are written; the total is not known, so there is no bar."""
    print(f"\r{rows:,} rows", end="\r", file=sys.stderr, flush=True)
