"""The recordings from which the shipped prior and weights are made, and the JSON files that name their sources."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from aoii.core.errors import InputError
from aoii.simulation import recordings

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A recording with a licence that allows shipping what is made from it.

    Attributes:
        group: A part of the file name, to be given to `--exclude`.
        file: Name of the file.
        licence: Where it comes from, and its licence.
    """

    group: str
    file: str
    licence: str


SOURCES = (
    Source("surfrad", "surfrad_slv_20160101_1min.csv.gz", "NOAA SURFRAD, San Luis Valley; public domain"),
    Source("arm", "arm_met_1min.csv.gz", "ARM-DOE/arm-test-data; MIT"),
    Source("occupancy", "occupancy_1min.csv.gz", "UCI Occupancy Detection (Candanedo, Feldheim 2016); CC BY 4.0"),
)


def find(folders: Sequence[Path], exclude: Sequence[str]) -> list[Path]:
    """The files of `SOURCES` that are not excluded, from the package or one of the folders.

    Raises:
        InputError: A file is in none of them.
    """
    found = []
    for source in SOURCES:
        if is_excluded(source.file, exclude):
            continue
        places = [recordings.SHIPPED.parent, *folders]
        path = next((place / source.file for place in places if (place / source.file).is_file()), None)
        if path is None:
            where = ", ".join(str(folder) for folder in folders)
            raise InputError(
                f"{source.file} ({source.licence}) is not in {where}",
                "give its folder with --recordings, other files with --data, "
                f"or leave it out with --exclude {source.group}",
            )
        found.append(path)
    return found


def is_excluded(file: str, exclude: Sequence[str]) -> bool:
    """Whether a file name contains one of the texts in `exclude`, in upper or lower case."""
    return any(group.casefold() in Path(file).name.casefold() for group in exclude)


def provenance(paths: Sequence[Path]) -> list[dict[str, str]]:
    """Name, licence if known, and hash of each file."""
    licences = {source.file: source.licence for source in SOURCES}
    return [
        {
            "file": path.name,
            "licence": licences.get(path.name, "not known to aoii"),
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in paths
    ]


def encode_json(content: dict[str, Any]) -> str:
    """Indented JSON, with each row of numbers on one line."""
    return re.sub(r"(?<=[\d\[,])\n\s+(?=[-\d\]])", " ", json.dumps(content, indent=1)) + "\n"


def parse_json(path: Path, kind: str, remedy: str, parse: Callable[[Any], T]) -> T:
    """Parse a JSON file that `aoii lab pretrain` wrote.

    Args:
        path: The file.
        kind: What it should be, for the message.
        remedy: How to make one.
        parse: Makes the value from the JSON; may raise ValueError, TypeError or KeyError.

    Raises:
        InputError: The file cannot be read or parsed.
    """
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error})", remedy) from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: is not {kind} ({error!r})", remedy) from error
