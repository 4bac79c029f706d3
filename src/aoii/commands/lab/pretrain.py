"""`aoii lab pretrain`: makes the prior of policy `trend`, or the first weights of policy `mlp`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from aoii.commands.arguments import Commands
from aoii.commands.lab import arguments
from aoii.core.errors import InputError


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "pretrain",
        help="make the prior of trend, or the first weights of mlp, from recordings",
        description="Make the prior of trend, or the first weights of mlp. By default from recordings with a licence "
        "that allows shipping the result: the shipped SURFRAD day and, from the folders given by --recordings, "
        "arm_met_1min.csv.gz and occupancy_1min.csv.gz.",
        epilog="Example: aoii lab pretrain --exclude surfrad --out without_surfrad.json",
    )
    add = parser.add_argument
    add("--model", choices=("prior", "mlp"), default="prior", help="prior of trend (default), or weights of mlp")
    add("--data", type=Path, nargs="+", metavar="FILE", help="use these recordings instead")
    folders = "folders of the recordings (default: recordings)"
    add("--recordings", type=Path, nargs="+", default=[Path("recordings")], metavar="DIR", help=folders)
    exclude = "leave out recordings with this text in the file name, such as surfrad"
    add("--exclude", nargs="+", default=[], metavar="GROUP", help=exclude)
    add("--out", type=Path, metavar="FILE", help="write JSON for aoii lab replay here (default: standard output)")
    core = "write the prior as the module that nodes import: src/aoii/core/prior.py"
    add("--core", type=Path, metavar="FILE", help=core)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the command; its exit code."""
    from aoii.lab import sources

    if options.core is not None and options.model != "prior":
        raise InputError("--core writes a prior", "leave it out, or use --model prior")
    if options.data is not None:
        paths = [path for path in options.data if not sources.is_excluded(path.name, options.exclude)]
    else:
        paths = sources.find(options.recordings, options.exclude)
    if not paths:
        raise InputError("no recording is left to learn from", "exclude less")
    text = _fit(paths, options)
    if options.out is not None:
        arguments.write_text(options.out, text)
    elif options.core is None:
        print(text, end="")
    return 0


def _fit(paths: Sequence[Path], options: argparse.Namespace) -> str:
    """The JSON of the weights; also writes the module if that was asked for."""
    from aoii.lab import mlp_weights, prior_fit, sources

    made_from = sources.provenance(paths)
    all_series = [series for _, several in arguments.parse_recordings(paths) for series in several]
    if options.model == "mlp":
        return mlp_weights.encode_mlp(mlp_weights.fit_mlp(all_series), made_from)
    weights = prior_fit.fit_prior([prior_fit.gather_evidence(all_series)])
    if options.core is not None:
        arguments.write_text(options.core, prior_fit.encode_module(weights, made_from))
    return prior_fit.encode_prior(weights, made_from, options.exclude)
