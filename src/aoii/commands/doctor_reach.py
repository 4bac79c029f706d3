"""Why nobody answers at an address: no such host, nobody listens, only for its own machine, or no answer at all."""

import contextlib
import socket

from aoii.commands.findings import Finding

WAIT_S = 5.0
LOOPBACK = ("127.0.0.1", "::1")


def unreachable(subject: str, host: str, port: int, settings: str) -> Finding | None:
    """A finding if no connection can be made.

    Args:
        subject: `broker` or `database`.
        host: Its name or address.
        port: Its port.
        settings: The settings that name both, for the remedy.
    """
    where = f"{host}:{port}"
    try:
        socket.create_connection((host, port), WAIT_S).close()
    except (socket.gaierror, UnicodeError):
        state, remedy, cause = f"{where}: no such host", f"correct {settings}, or the name service", "host_unknown"
    except ConnectionRefusedError:
        if any(accepts(loopback, port) for loopback in LOOPBACK) and _is_ours(host):
            cause, state = "local_only", f"{where}: it listens on 127.0.0.1 only, for its own machine"
            remedy = f"let it listen on {host} too ({LISTEN[subject]}), or use 127.0.0.1 here"
        else:
            cause, state = "refused", f"{where}: nobody listens there"
            remedy = f"start the {subject}, let it listen for other machines ({LISTEN[subject]}), or correct {settings}"
    except TimeoutError:
        state, cause = f"{where}: no answer within {WAIT_S:g} s", "no_answer"
        remedy = f"see whether the machine is on and a firewall lets the port through, or correct {settings}"
    except OSError as error:
        state, remedy, cause = f"{where}: {error.strerror or error}", f"correct {settings}, or the network", "network"
    else:
        return None
    about = where if cause != "network" else state
    return Finding(subject, state, remedy, cause=f"{subject}_{cause}", about=about)


LISTEN = {"broker": "`listener` of Mosquitto", "database": "`bind-address` of MariaDB"}


def accepts(host: str, port: int) -> bool:
    """Whether somebody listens there."""
    with contextlib.suppress(OSError), socket.create_connection((host, port), WAIT_S):
        return True
    return False


def _is_ours(host: str) -> bool:
    """Whether the host is this machine: only then can we have its address."""
    for family, kind, protocol, _, address in socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM):
        with contextlib.suppress(OSError), socket.socket(family, kind, protocol) as probe:
            probe.bind(address)
            return True
    return False
