"""The USB port of a node that prints its log: reads bytes, writes nothing. Only this file imports pyserial."""

import os
import termios
import time

import serial

from aoii.core.errors import UnavailableError

BAUD = 115_200
READ_S = 0.2  # a read without a byte returns after this long, so that a stop is noticed
CHUNK_BYTES = 4096
CHECK_S = 1.0  # how often an idle port is checked: some adapters vanish without a hang-up

_PORT_ERRORS = (OSError, ValueError, TypeError, termios.error)  # pyserial lets all of them through


class LogPort:
    """An open port; as a context manager it is closed at the end.

    Args:
        path: The device, such as /dev/ttyUSB1, or a link to it.

    Raises:
        UnavailableError: It cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            # exclusive: a second reader would take every other byte
            self._serial = serial.Serial(path, BAUD, timeout=READ_S, exclusive=True)
            self._device = _device(os.fstat(self._serial.fileno()))
        except _PORT_ERRORS as error:
            raise UnavailableError(
                f"{path}: {error}; check the cable, EDGE_LOG_PORT and the rights of the device"
            ) from error
        self._checked_s = time.monotonic()

    def __enter__(self) -> "LogPort":
        return self

    def __exit__(self, *_: object) -> None:
        self._serial.close()

    def read(self) -> bytes:
        """The bytes that have arrived, maybe none.

        Raises:
            UnavailableError: The port is gone, or its name belongs to another device now.
        """
        try:
            chunk = bytes(self._serial.read(1))
            if chunk:
                return chunk + bytes(self._serial.read(min(CHUNK_BYTES, self._serial.in_waiting)))
            if time.monotonic() - self._checked_s >= CHECK_S:
                self._checked_s = time.monotonic()
                if _device(os.stat(self._path)) != self._device:  # noqa: PTH116 - beside fstat
                    raise UnavailableError(f"{self._path}: now another device has this name; it is opened again")
        except _PORT_ERRORS as error:
            raise UnavailableError(f"{self._path}: {error}; plug it in again") from error
        return b""


def _device(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_rdev
