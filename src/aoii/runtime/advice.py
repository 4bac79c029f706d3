"""Advice that can be followed where the program runs: a clone has documents and scripts, a wheel has neither."""

import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[3]  # of a clone; of a wheel, the folder around site-packages
LAB_EXTRA = "lab"
BOARDS_EXTRA = "boards"


@cache
def is_clone() -> bool:
    """Whether the program runs from a clone of the repository."""
    return (ROOT / "pyproject.toml").is_file() and (ROOT / "scripts" / "set-up").is_file()


def document(path: str) -> str:
    """How to name a file of the repository: its path in a clone, else with the repository's address."""
    return path if is_clone() else f"{_repository()}, {path}"


def install_lab() -> str:
    """What installs the libraries that `aoii lab` needs."""
    return _install(LAB_EXTRA)


def install_boards() -> str:
    """What installs the tools that write onto a board."""
    return _install(BOARDS_EXTRA)


def _install(extra: str) -> str:
    """The command that installs what an optional part of this package needs."""
    if is_clone():
        return "`scripts/set-up test`"
    from importlib import metadata

    wanted = (text.partition(";") for text in metadata.requires("aoii") or ())
    names = [f"'{name.strip()}'" for name, _, marker in wanted if f"'{extra}'" in marker.replace('"', "'")]
    return f"`{sys.executable} -m pip install {' '.join(names)}`"


def _repository() -> str:
    from importlib import metadata  # takes a tenth of a start, and a clone needs it never

    for text in metadata.metadata("aoii").get_all("Project-URL") or ():
        name, _, address = text.partition(", ")
        if name == "Repository":
            return str(address)
    return "the repository"
