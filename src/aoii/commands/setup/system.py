"""Installs what systemd needs: the units with the place of this program in them, the user, and the folders.

There is one copy of the units, `deploy/systemd`, which a wheel has as `aoii/systemd`.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from aoii.commands.file_changes import FileChange
from aoii.core.errors import UnavailableError
from aoii.runtime import advice

IN_WHEEL = Path(__file__).parents[2] / "systemd"
SHIPPED = IN_WHEEL if IN_WHEEL.is_dir() else advice.ROOT / "deploy" / "systemd"
PROGRAM = "/opt/aoii/.venv/bin/aoii"  # in the units as they are shipped
TARGET = "aoii.target"
USER = "aoii"
HOMES = ("/home", "/root", "/run/user")  # which ProtectHome= hides
FOLDERS = ("sysusers.d", "system", "journald.conf.d")
PLACES = {
    "sysusers.d": "etc/sysusers.d",
    "system": "etc/systemd/system",
    "journald.conf.d": "etc/systemd/journald.conf.d",
}


def is_there() -> bool:
    """Whether systemd runs this machine."""
    return Path("/run/systemd/system").is_dir()


def program() -> str:
    """The path of this program, for the units."""
    return str(Path(sys.executable).with_name("aoii"))


def is_hidden() -> bool:
    """Whether this program is where no unit can read it."""
    return any(Path(program()).is_relative_to(home) for home in HOMES)


def unit_changes(root: Path) -> Iterator[FileChange]:
    """The units and the files beside them below `root`, as they become."""
    for folder in FOLDERS:
        for source in sorted((SHIPPED / folder).rglob("*")):
            if source.is_file():
                target = root / PLACES[folder] / source.relative_to(SHIPPED / folder)
                text = source.read_text(encoding="utf-8").replace(PROGRAM, program())
                before = target.read_text(encoding="utf-8") if target.exists() else None
                yield FileChange(target, before, text, mode=0o644, is_shipped=True)


def make_user() -> None:
    """Make the stations' user, from the file in sysusers.d, if there is none.

    Raises:
        UnavailableError: It cannot be made.
    """
    _run(["systemd-sysusers", "/etc/sysusers.d/aoii.conf"])


def make_folders(root: Path, stations: Sequence[str]) -> None:
    """Make the folders of settings, secrets and data; each with the owner and mode that the units expect.

    Raises:
        UnavailableError: One cannot be made.
    """
    private = [(f"etc/aoii/secrets/{station}", USER, 0o700) for station in stations]
    wanted = [("etc/aoii", "root", 0o750), ("etc/aoii/secrets", "root", 0o750), ("etc/aoii/tls", "root", 0o750)]
    for name, user, mode in (*wanted, *private, ("var/lib/aoii", USER, 0o700)):
        path = root / name
        try:
            if not path.exists():
                path.mkdir(mode=mode, parents=True)
                path.chmod(mode)
                if root == Path("/"):
                    _run(["chown", f"{user}:{USER}", str(path)])
        except OSError as error:
            raise UnavailableError(f"{path} cannot be made ({error.strerror})", "run this as root") from error


def start_commands(stations: Sequence[str]) -> str:
    """The command that starts the stations, now and with the machine."""
    units = " ".join(f"aoii-{station}" for station in stations)
    return f"systemctl enable --now {TARGET} {units}"


def reload() -> None:
    """Have systemd read the units.

    Raises:
        UnavailableError: It does not.
    """
    if is_there():
        _run(["systemctl", "daemon-reload"])


def is_root() -> bool:
    """Whether this may install a system."""
    return os.geteuid() == 0


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UnavailableError(f"{command[0]} cannot be run ({error.strerror})", "install systemd") from error
    if done.returncode:
        raise UnavailableError(f"`{' '.join(command)}` failed: {done.stderr.strip()}", "see the message")
