"""What `aoii doctor` finds of serial ports: whether they are there, under which lasting name, and what else is there.

Linux numbers ports in the order in which they appear, so two receivers may swap ttyUSB0 and ttyUSB1 at a restart; the
names in /dev/serial/by-id stay. No port is opened.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from aoii.commands.findings import Finding

DEVICES = Path("/dev")
PORTS = ("ttyUSB*", "ttyACM*", "ttyAMA*", "ttyXRUSB*", "cu.usb*", "cu.wch*")  # Linux, and macOS
NUMBERED = ("ttyUSB", "ttyACM", "ttyXRUSB")
TO_OPEN = "add this user to the group dialout, and log in again"


def examine(subject: str, port: str, setting: str, plug_in: str) -> Finding:
    """Whether a station could open the port.

    Args:
        subject: What the port is, for the finding.
        port: Its path.
        setting: The setting that names it.
        plug_in: What to plug in if it is missing.
    """
    path = Path(port)
    if not path.exists():
        return Finding(
            subject, f"{port} does not exist{_others(path)}", f"{plug_in}, or correct {setting}{_lasting(setting)}"
        )
    if not path.is_char_device():
        return Finding(subject, f"{port} is not a serial port{_others(path)}", f"correct {setting}")
    if not os.access(path, os.R_OK | os.W_OK):
        return Finding(subject, f"{port} may not be opened by this user", TO_OPEN)
    return Finding(subject, f"{port} is there{_identified(path, setting)}")


def shared(ports: Sequence[tuple[str, str]]) -> Iterator[Finding]:
    """A finding for each device that two settings name, by whichever path.

    Args:
        ports: Settings and paths, of all stations on this machine.
    """
    by_device: dict[str, list[str]] = {}
    for setting, port in ports:
        by_device.setdefault(os.path.realpath(port), []).append(f"{setting}={port}")
    for names in by_device.values():
        if len(names) > 1:
            state = f"{' and '.join(names)} are one device: each station would get a part of its bytes"
            yield Finding("serial port", state, "give each setting a port of its own")


def present() -> list[str]:
    """Every serial port, by its lasting name if it has one."""
    by_device = {os.path.realpath(link): str(link) for link in sorted((DEVICES / "serial/by-id").glob("*"))}
    found = {os.path.realpath(path): str(path) for kind in PORTS for path in sorted(DEVICES.glob(kind))}
    return [by_device.get(device, path) for device, path in found.items()]


def _others(path: Path) -> str:
    """Which ports are there instead of `path`."""
    others = [one for one in present() if os.path.realpath(one) != os.path.realpath(path)]
    return f"; there are: {', '.join(others)}" if others else "; there is no serial port at all"


def _lasting(setting: str) -> str:
    names = [one for one in present() if "by-id" in one]
    return f", best with a name that stays: {setting}={names[0]}" if names else ""


def _identified(path: Path, setting: str) -> str:
    """Which device a numbered port is now, and the name that it keeps, if there are others it could be mistaken for."""
    device = os.path.realpath(path)
    lasting = [one for one in present() if "by-id" in one and os.path.realpath(one) == device]
    if not path.name.startswith(NUMBERED) or not lasting:
        return ""
    others = len(present()) - 1
    why = f"; with {others} more here, numbers may swap at a restart: write {setting}={lasting[0]}" if others else ""
    return f", now {Path(lasting[0]).name}{why}"
