"""The proxy between a station and its server: what it passes, and what it does to it when told."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pymysql
import pytest

from faults.proxy import Loop, Proxy
from servers import MariaDB, until


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with Loop() as loop:
        yield loop


@pytest.fixture(scope="module")
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    listener = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while chunk := connection.recv(4096):
                connection.sendall(chunk)

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    yield int(listener.getsockname()[1])
    listener.close()


@pytest.fixture
def proxy(loop: Loop, echo_port: int) -> Proxy:
    return Proxy(loop, echo_port)


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def echoes(connection: socket.socket, text: bytes = b"hello", timeout_s: float = 5) -> bool:
    """Whether what is said comes back."""
    connection.settimeout(timeout_s)
    try:
        connection.sendall(text)
        return connection.recv(4096) == text
    except OSError:
        return False


def test_everything_passes_both_ways(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        assert echoes(connection)
        assert echoes(connection, b"again")


def test_a_cut_ends_what_is_open_and_what_is_new_until_it_is_healed(proxy: Proxy) -> None:
    with connected(proxy) as old:
        assert echoes(old)

        proxy.cut()

        assert not echoes(old)
        with connected(proxy) as new:
            assert not echoes(new)
        proxy.heal()
        with connected(proxy) as healed:
            assert echoes(healed)


def test_half_open_connections_stay_and_carry_nothing_and_never_carry_anything_again(proxy: Proxy) -> None:
    with connected(proxy) as old:
        assert echoes(old)

        proxy.swallow()

        old.settimeout(0.2)
        old.sendall(b"lost")
        with pytest.raises(TimeoutError):
            old.recv(4096)
        proxy.heal()
        assert not echoes(old)
        with connected(proxy) as new:
            assert echoes(new)


def test_a_deaf_station_sends_and_receives_nothing_and_its_connection_is_of_no_use_any_more(
    loop: Loop,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(loop, listener.getsockname()[1])
        with connected(proxy) as station:
            server, _ = listener.accept()
            with server:
                proxy.deafen()
                server.settimeout(15)
                station.settimeout(0.2)

                station.sendall(b"said")
                assert server.recv(4096) == b"said"
                server.sendall(b"answered")
                with pytest.raises(TimeoutError):
                    station.recv(4096)

                proxy.heal()
                station.settimeout(15)
                with contextlib.suppress(ConnectionResetError):
                    assert station.recv(4096) == b""


def test_a_delay_holds_back_each_direction(proxy: Proxy) -> None:
    with connected(proxy) as connection:
        proxy.delay(0.15)
        began_s = time.monotonic()

        assert echoes(connection)

        assert time.monotonic() - began_s >= 0.3


def test_nobody_at_the_other_end_is_a_connection_that_ends(loop: Loop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    proxy = Proxy(loop, port)

    with connected(proxy) as connection:
        assert not echoes(connection)


def test_a_commit_whose_answer_is_lost_has_happened_and_the_next_is_answered(loop: Loop, mariadb: MariaDB) -> None:
    proxy = Proxy(loop, mariadb.port)
    schema = mariadb.new_schema()
    for table in ("readings", "other"):
        mariadb.execute(f"CREATE TABLE {table} (n INT)", database=schema)

    def insert(number: int, table: str = "readings") -> None:
        with (
            pymysql.connect(host="127.0.0.1", port=proxy.port, user="root", database=schema) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("INSERT INTO readings VALUES (0)")
            connection.rollback()
            cursor.execute(f"INSERT INTO {table} VALUES (%s)", (number,))  # noqa: S608 - ours
            connection.commit()

    proxy.lose_commits(1)
    insert(0, "other")  # not of readings: answered
    with pytest.raises(pymysql.err.OperationalError):
        insert(1)
    insert(2)

    assert proxy.commits_lost == 1
    until(lambda: mariadb.execute("SELECT n FROM readings ORDER BY n", database=schema) == [(1,), (2,)])
