"""`aoii lab pretrain`: makes the prior of policy `trend`, or the first weights of policy `mlp`."""

import argparse
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path

from aoii.commands.arguments import Commands, file_path, output_file
from aoii.commands.lab import arguments
from aoii.core.errors import InputError

OUT = (
    "write JSON for aoii lab replay here (default: standard output); of mlp also C arrays for the old firmware when a "
    "name ends in .h, and Python literals for MIRROR_WEIGHTS when it ends in .py"
)
ZONE = "zone whose time of day mlp learns; nodes with the old firmware have UTC-8 (default: UTC)"


def add_parser(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "pretrain",
        help="make the prior of trend, or the first weights of mlp, from recordings",
        description="Make the prior of trend, or the first weights of mlp. By default from recordings with a licence "
        "that allows shipping the result: the shipped SURFRAD day and, from the folders given by --recordings, "
        "arm_met_1min.csv.gz and occupancy_1min.csv.gz.",
        epilog="Examples: aoii lab pretrain --exclude surfrad --out without_surfrad.json; "
        "aoii lab pretrain --model mlp --data attic.csv --zone UTC-8 --out weights.h weights.py",
    )
    add = parser.add_argument
    add("--model", choices=("prior", "mlp"), default="prior", help="prior of trend (default), or weights of mlp")
    add("--data", type=file_path, nargs="+", metavar="FILE", help="use these recordings instead")
    folders = "folders of the recordings (default: recordings)"
    add("--recordings", type=file_path, nargs="+", default=[Path("recordings")], metavar="DIR", help=folders)
    exclude = "leave out recordings with this text in the file name, such as surfrad"
    add("--exclude", nargs="+", default=[], metavar="GROUP", help=exclude)
    add("--out", type=output_file, nargs="+", default=[], metavar="FILE", help=OUT)
    add("--zone", type=arguments.zone, default=UTC, metavar="ZONE", help=ZONE)
    core = "write the prior as the module that nodes import: src/aoii/core/prior.py"
    add("--core", type=output_file, metavar="FILE", help=core)
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
    for path in options.out:
        if path.suffix in (".h", ".py") and options.model != "mlp":
            raise InputError(
                f"{path}: only the weights of mlp can be written as code", "give a name that ends in .json"
            )
    arguments.check_writable(*options.out, options.core)
    encoded = _fit(paths, options)
    for path in options.out:
        arguments.write_text(path, encoded.get(path.suffix, encoded[".json"]))
    if not options.out and options.core is None:
        print(encoded[".json"], end="")
    return 0


def _fit(paths: Sequence[Path], options: argparse.Namespace) -> dict[str, str]:
    """The text of the weights for each ending of a file; also writes the module if that was asked for."""
    from aoii.lab import mlp_code, mlp_weights, prior_fit, sources

    made_from = sources.provenance(paths)
    all_series = [series for _, several in arguments.parse_recordings(paths) for series in several]
    if options.model == "mlp":
        mlp = mlp_weights.fit_mlp(all_series, options.zone)
        accuracy = mlp_weights.measure(mlp, all_series, options.zone)
        arguments.say(accuracy.sentence())
        return {
            ".json": mlp_weights.encode_mlp(mlp, made_from),
            ".h": mlp_code.encode_header(mlp, made_from, accuracy),
            ".py": mlp_code.encode_literals(mlp, made_from, accuracy),
        }
    weights = prior_fit.fit_prior([prior_fit.gather_evidence(all_series)])
    if options.core is not None:
        arguments.write_text(options.core, prior_fit.encode_module(weights, made_from))
    return {".json": prior_fit.encode_prior(weights, made_from, options.exclude)}
