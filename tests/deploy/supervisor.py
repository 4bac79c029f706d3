"""What a service manager is to a station: a datagram socket, and the environment that names it."""

import socket
from pathlib import Path


class Supervisor:
    """Receives what a station tells its service manager; `address` is a path, or `@name` for an abstract one."""

    def __init__(self, address: str | Path, watchdog_s: float | None = None) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{address[1:]}" if isinstance(address, str) else str(address))
        self._socket.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": str(address)}
        if watchdog_s is not None:
            self.environment["WATCHDOG_USEC"] = str(round(watchdog_s * 1e6))
        self.heard: list[str] = []

    def messages(self) -> list[str]:
        """The lines that came since the last look; they are kept in `heard`, too."""
        found: list[str] = []
        while True:
            try:
                found += self._socket.recv(4096).decode().split("\n")
            except BlockingIOError:
                self.heard += found
                return found

    def has(self, line: str) -> bool:
        """Whether the line has come by now."""
        self.messages()
        return line in self.heard

    @property
    def status(self) -> str | None:
        """The last human line by now."""
        self.messages()
        said = [line.removeprefix("STATUS=") for line in self.heard if line.startswith("STATUS=")]
        return said[-1] if said else None

    def close(self) -> None:
        """Be gone."""
        self._socket.close()
