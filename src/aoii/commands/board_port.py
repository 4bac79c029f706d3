"""The serial port of a board that a person has in hand: which there are, which is meant, and why one cannot be used."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from aoii.commands import doctor_ports
from aoii.core.errors import InputError, UnavailableError
from aoii.runtime import serial_line


def chosen(port: str | None) -> str:
    """The port that was given, or the one that a person chooses; a person is asked on a terminal only.

    Raises:
        InputError: None was given, and nobody can be asked; or what was answered is no number of a port.
        UnavailableError: There is no serial port.
    """
    if port is not None:
        return port
    there = doctor_ports.present()
    if not there:
        raise UnavailableError("there is no serial port", "plug the board in, with a cable that carries data")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise InputError("no port is given", f"say --port with one of {', '.join(there)}, or --out for files only")
    print("Serial ports:")
    print("\n".join(f"  {number}  {one}" for number, one in enumerate(there, start=1)))
    try:
        answer = input(f"Which one is the board at? [1-{len(there)}] ").strip()
    except EOFError:
        answer = ""
    if not answer.isascii() or not answer.isdecimal() or not 1 <= int(answer) <= len(there):
        raise InputError(f"{answer!r} is none of them", f"answer with a number from 1 to {len(there)}")
    return there[int(answer) - 1]


@contextlib.contextmanager
def opened(port: str) -> Iterator[int]:
    """The port, open and locked; its file descriptor never blocks.

    Raises:
        InputError: The port is not there, or is no serial port.
        UnavailableError: It cannot be opened now; the message says why, and what to do.
    """
    path = Path(port)
    finding = doctor_ports.examine("port", port, "--port", "plug the board in")
    if finding.remedy:
        problem = UnavailableError if path.is_char_device() else InputError
        raise problem(finding.state, finding.remedy)
    try:
        descriptor = serial_line.open_serial(port)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EBUSY):
            remedy = "stop what uses it (the gateway, if this is its receiver), or name another port"
            raise UnavailableError(f"{port} is in use by another process", remedy) from error
        raise UnavailableError(f"{port} cannot be opened ({error.strerror})", "plug the board in again") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
