"""`aoii lab report`: measures the policies and writes docs/explanation/results.md with its tables and plots."""

import argparse
from pathlib import Path

from aoii.commands.arguments import Commands, file_path, output_file
from aoii.commands.lab import arguments


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "report",
        help="replay everything and write docs/explanation/results.md with tables and plots",
        description="Replay recordings at several thresholds and losses and write a page with tables and plots. "
        "Each prior is fitted without the recording that it is measured on.",
        epilog="Example: aoii lab report --recordings recordings --out docs/explanation/results.md",
    )
    recordings = "replay every recording in this folder (default: the shipped day only)"
    parser.add_argument("--recordings", type=file_path, metavar="DIR", help=recordings)
    out = "page to write; its plots are written to results/ beside it (default: %(default)s)"
    page = Path("docs/explanation/results.md")
    parser.add_argument("--out", type=output_file, default=page, metavar="FILE", help=out)
    arguments.add_seed(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from aoii.lab.report import write_report

    arguments.check_writable(options.out)
    with arguments.writing(options.out):
        write_report(options.recordings, options.out, options.seed)
    print(f"wrote {options.out}")
    return 0
