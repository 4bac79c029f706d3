"""Which station a container runs: the one that its first process was started as."""

import argparse
from pathlib import Path
from typing import NamedTuple

from aoii.settings import STATIONS, Settings

FIRST_PROCESS = Path("/proc/1/cmdline")


class Started(NamedTuple):
    """How a station was started.

    Attributes:
        station: Its name, as in `aoii NAME`.
        env_file: What it got with `--env-file`; None if nothing.
    """

    station: str
    env_file: Path | None


def started(command_line: Path | None = None) -> Started | None:
    """The station that process 1 is; None outside a container, and in one that runs something else.

    An init process such as tini may stand before the program: `docker-init -- aoii gateway`.
    """
    try:
        words = (command_line or FIRST_PROCESS).read_text(errors="replace").split("\0")
    except OSError:
        return None
    names = [Path(word).name for word in words]
    if "aoii" not in names:
        return None
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--env-file", type=Path)
    options, rest = parser.parse_known_args(words[names.index("aoii") + 1 :])
    return Started(rest[0], options.env_file) if rest and rest[0] in STATIONS else None


def status_address(values: Settings, station: str) -> tuple[str, int, bool]:
    """Where a station answers on /healthz and /readyz: host, port (0: nowhere), and whether it speaks HTTPS there."""
    if station == "web":
        host = values.web.host if values.web.host not in ("0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - only asked
        return host, values.web.port, values.web.cert is not None
    return "127.0.0.1", values.status_ports[station], False
