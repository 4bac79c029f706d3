"""The USB port of a node that prints its log: bytes in, nothing out; the only file here that imports pyserial."""

import os
import termios
import time

import serial

from aoii.core.errors import UnavailableError

BAUD = 115_200
READ_S = 0.2  # a read returns after this long without a byte, so that a stop is noticed
CHUNK_BYTES = 4096
LOOK_S = 1.0  # how often an idle port is looked at: some adapters vanish without a hang-up

_PORT_ERRORS = (OSError, ValueError, TypeError, termios.error)  # pyserial lets all of them through


class LogPort:
    """An open port, or a link to one; as a context manager it is closed at the end.

    Args:
        path: The device, such as /dev/ttyUSB1.

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
        self._looked_s = time.monotonic()

    def __enter__(self) -> "LogPort":
        return self

    def __exit__(self, *_: object) -> None:
        self._serial.close()

    def read(self) -> bytes:
        """What arrived, maybe nothing.

        Raises:
            UnavailableError: The port is gone, or another device took its name.
        """
        try:
            chunk = bytes(self._serial.read(1))
            if chunk:
                return chunk + bytes(self._serial.read(min(CHUNK_BYTES, self._serial.in_waiting)))
            if time.monotonic() - self._looked_s >= LOOK_S:
                self._looked_s = time.monotonic()
                if _device(os.stat(self._path)) != self._device:  # noqa: PTH116 - beside fstat
                    raise UnavailableError(f"{self._path}: another device took its name")
        except _PORT_ERRORS as error:
            raise UnavailableError(f"{self._path}: {error}; plug it in again") from error
        return b""


def _device(stat: os.stat_result) -> tuple[int, int, int]:
    return stat.st_dev, stat.st_ino, stat.st_rdev
