"""A TCP proxy between a station and its server that can cut, swallow, delay, and lose all answers or that to a COMMIT.

One thread with its own event loop serves all proxies. Each proxy is one link of one station, so that a fault can hit
one station alone. Knows no protocol but for three packets of MySQL: an insert of readings, COMMIT and ROLLBACK.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

CHUNK_BYTES = 65536
CALL_TIMEOUT_S = 30.0
# Packets: length in three bytes, sequence number 0, COM_QUERY (3), the text; of the insert its beginning.
COMMIT = b"\x07\x00\x00\x00\x03COMMIT"
ROLLBACK = b"\x09\x00\x00\x00\x03ROLLBACK"
INSERT = b"\x03INSERT INTO readings "


class Loop:
    """The thread with the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)

    def __enter__(self) -> "Loop":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.run(_cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run `work` in the loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_TIMEOUT_S)


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class _Link:
    """One connection through the proxy."""

    def __init__(self, station: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.station = station
        self.server = server
        self.is_torn = False  # bytes are missing: it must never carry any again
        self.has_inserted = False  # the transaction under way has readings: the server commits much else
        self.has_committed = False  # the next answer is the answer to a COMMIT that is to be lost

    def abort(self) -> None:
        for writer in (self.station, self.server):
            writer.transport.abort()


class Proxy:
    """A link to the loopback port `upstream`; `port` is where the station connects."""

    def __init__(self, loop: Loop, upstream: int) -> None:
        self._loop = loop
        self._upstream = upstream
        self._links: set[_Link] = set()
        self._is_cut = self._is_hole = self._is_deaf = False
        self._delay_s = 0.0
        self._commits_to_lose = 0
        self.commits_lost = 0
        self.port = loop.run(self._listen())

    def cut(self) -> None:
        """End all connections, and every new one at once."""
        self._set(is_cut=True)

    def swallow(self) -> None:
        """Half-open: connections stay, and new ones are made, and not a byte passes in either direction."""
        self._set(is_hole=True)

    def deafen(self) -> None:
        """The station hears nothing any more; what it says still gets through, and is acted upon."""
        self._set(is_deaf=True)

    def delay(self, seconds: float) -> None:
        """Every chunk, in each direction, arrives later."""
        self._set(delay_s=seconds)

    def lose_commits(self, count: int) -> None:
        """The next `count` answers to COMMITs of readings are lost with their connections; the commits are not."""
        self._set(commits=count)

    def heal(self) -> None:
        """Pass everything; connections with a hole in their stream are ended."""
        self._set()

    def _set(
        self,
        *,
        is_cut: bool = False,
        is_hole: bool = False,
        is_deaf: bool = False,
        delay_s: float = 0.0,
        commits: int = 0,
    ) -> None:
        async def apply() -> None:
            self._is_cut, self._is_hole, self._is_deaf, self._delay_s = is_cut, is_hole, is_deaf, delay_s
            self._commits_to_lose = commits
            for link in list(self._links):
                if is_cut or (link.is_torn and not (is_hole or is_deaf)):
                    link.abort()

        self._loop.run(apply())

    async def _listen(self) -> int:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(server.sockets[0].getsockname()[1])

    async def _serve(self, from_station: asyncio.StreamReader, to_station: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._upstream)
        except OSError:
            to_station.transport.abort()
            return
        link = _Link(to_station, to_server)
        self._links.add(link)
        if self._is_cut:
            link.abort()
        with contextlib.suppress(asyncio.CancelledError):  # at the end of all; the caller cannot take it
            await asyncio.gather(
                self._pump(link, from_station, to_server, self._towards_server),
                self._pump(link, from_server, to_station, self._towards_station),
            )
        link.abort()
        self._links.discard(link)

    async def _pump(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        passes: Callable[[_Link, bytes], bool],
    ) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                if self._is_hole:
                    link.is_torn = True
                elif passes(link, chunk):
                    writer.write(chunk)
                    await writer.drain()
        if self._is_hole:  # nobody hears the other hang up
            link.is_torn = True
        else:
            link.abort()

    def _towards_server(self, link: _Link, chunk: bytes) -> bool:
        link.has_inserted |= INSERT in chunk
        if chunk.endswith((COMMIT, ROLLBACK)):
            if link.has_inserted and self._commits_to_lose and chunk.endswith(COMMIT):
                self._commits_to_lose -= 1
                link.has_committed = True
            link.has_inserted = False
        return True

    def _towards_station(self, link: _Link, chunk: bytes) -> bool:
        if self._is_deaf:
            link.is_torn = True
            return False
        if link.has_committed:  # the server has answered, so it has committed
            self.commits_lost += 1
            link.abort()
            return False
        return True
