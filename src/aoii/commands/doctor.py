"""`aoii doctor`: checks once everything that the stations need, and says what to do about each fault.

It changes nothing. It connects to broker, database and status ports, and does not open serial ports.
"""

from collections.abc import Iterator
from pathlib import Path

from aoii.commands import (
    container,
    doctor_checks,
    doctor_copies,
    doctor_durability,
    doctor_installation,
    doctor_ports,
    doctor_stations,
)
from aoii.commands.doctor_installation import Installation
from aoii.commands.findings import Finding


def run(env_file: Path | None) -> int:
    """Print the findings; 0 if all is well, 1 if something has to be done."""
    has_failed = False
    for finding in examine(env_file):
        mark = "FAIL" if finding.remedy is not None else "ok  " if finding.is_checked else "--  "
        print(f"{mark}  {finding.subject:12} {finding.state}")
        if finding.remedy is not None:
            has_failed = True
            print(f"      {'':12} -> {finding.remedy}")
    return 1 if has_failed else 0


def examine(env_file: Path | None) -> Iterator[Finding]:
    """Check the settings of every station, then what they name; in a station's container, what that station can see."""
    own = container.started()
    installation, findings = doctor_installation.load(env_file or (own.env_file if own else None), own)
    yield from findings
    yield from doctor_checks.certificates(installation)
    for check in doctor_checks.CHECKS:
        if own and check.is_private and own.station not in check.stations:
            whose = " or ".join(check.stations)
            state = f"not checked: this is the container of {own.station}; ask in that of {whose}"
            yield Finding(check.subject, state, is_checked=False)
            continue
        groups = installation.groups(check.stations, check.part)
        if not groups and installation.settings:
            state = f"not checked: nothing says that {' or '.join(check.stations)} runs on this machine"
            yield Finding(check.subject, state, is_checked=False)
        for group in groups:
            yield from map(group.label, doctor_checks.run(check, group))
    yield from doctor_durability.examine(installation)
    yield from doctor_copies.examine(installation)
    yield from doctor_checks.shared_user(installation)
    yield from doctor_ports.shared(_ports(installation))
    yield from doctor_stations.examine(installation)


def _ports(installation: Installation) -> list[tuple[str, str]]:
    """The settings and paths of all serial ports that stations of this machine open."""
    ports: list[tuple[str, str]] = []
    groups = installation.groups(
        ("gateway", "edgelog"), lambda one: (one.gateway.serial_ports, one.server.edge_log_ports)
    )
    for group in groups:
        if "gateway" in group.ours:
            ports += [("SERIAL_PORT", port) for port in group.values.gateway.serial_ports]
        if "edgelog" in group.ours:
            ports += [("EDGE_LOG_PORT", source.port) for source in group.values.server.edge_log_ports]
    return ports
