"""Serial ports: what is there instead, under which name that stays, and which two settings name one device."""

import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from aoii.commands import doctor_ports
from aoii.commands.findings import Finding


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder like /dev with a CP2102 as ttyUSB1; its terminal is real."""
    monkeypatch.setattr(doctor_ports, "DEVICES", tmp_path)
    ours, theirs = pty.openpty()
    (tmp_path / "serial/by-id").mkdir(parents=True)
    (tmp_path / "ttyUSB1").symlink_to(os.ttyname(theirs))
    (tmp_path / "serial/by-id/usb-CP2102_attic").symlink_to("../../ttyUSB1")
    yield tmp_path
    os.close(ours)
    os.close(theirs)


def examine(port: Path) -> Finding:
    return doctor_ports.examine("serial port", str(port), "SERIAL_PORT", "plug the receiver in")


def test_a_port_that_is_missing_comes_with_those_that_are_there(devices: Path) -> None:
    lasting = devices / "serial/by-id/usb-CP2102_attic"

    found = examine(devices / "ttyUSB0")

    assert found.state == f"{devices}/ttyUSB0 does not exist; there are: {lasting}"
    assert found.remedy == (
        f"plug the receiver in, or correct SERIAL_PORT, best with a name that stays: SERIAL_PORT={lasting}"
    )


@pytest.mark.parametrize("name", ["cu.usbserial-3", "cu.wchusbserial1420"])
def test_the_ports_of_a_mac_are_found(devices: Path, name: str) -> None:
    (devices / name).symlink_to(os.path.realpath(devices / "ttyUSB1"))
    (devices / "serial/by-id/usb-CP2102_attic").unlink()
    (devices / "ttyUSB1").unlink()

    assert examine(devices / "ttyUSB0").state.endswith(f"does not exist; there are: {devices}/{name}")
    assert examine(devices / name) == Finding("serial port", f"{devices}/{name} is there")


def test_without_any_port_it_says_so(devices: Path) -> None:
    (devices / "serial/by-id/usb-CP2102_attic").unlink()
    (devices / "ttyUSB1").unlink()

    found = examine(devices / "ttyUSB0")

    assert found.state.endswith("does not exist; there is no serial port at all")
    assert found.remedy == "plug the receiver in, or correct SERIAL_PORT"


def test_a_numbered_port_is_told_by_its_device(devices: Path) -> None:
    found = examine(devices / "ttyUSB1")

    assert found == Finding("serial port", f"{devices}/ttyUSB1 is there, now usb-CP2102_attic")


def test_beside_others_a_numbered_port_should_have_the_name_that_stays(devices: Path) -> None:
    ours, theirs = pty.openpty()
    (devices / "ttyUSB0").symlink_to(os.ttyname(theirs))

    numbered, lasting = examine(devices / "ttyUSB1"), examine(devices / "serial/by-id/usb-CP2102_attic")

    assert f"write SERIAL_PORT={devices}/serial/by-id/usb-CP2102_attic" in numbered.state
    assert lasting.state == f"{devices}/serial/by-id/usb-CP2102_attic is there"
    assert (numbered.remedy, lasting.remedy) == (None, None)
    os.close(ours)
    os.close(theirs)


def test_two_settings_for_one_device_are_found_by_whichever_path(devices: Path) -> None:
    by_number, by_id = str(devices / "ttyUSB1"), str(devices / "serial/by-id/usb-CP2102_attic")

    (found,) = doctor_ports.shared([("SERIAL_PORT", by_number), ("EDGE_LOG_PORT", by_id), ("EDGE_LOG_PORT", "/dev/x")])

    assert f"SERIAL_PORT={by_number} and EDGE_LOG_PORT={by_id} are one device" in found.state
    assert found.remedy
