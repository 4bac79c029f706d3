"""Kinds of values: how the text of a setting becomes a typed value, and the remedy if it does not.

A kind is a function that takes the text and returns the value, or raises `KindError`; `str` is the kind of any text.
Only the kinds of files look at the file system.
"""

import contextlib
import ipaddress
import math
import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta, timezone
from pathlib import Path
from typing import TypeVar

from aoii.runtime import numerals

from .channel import Burst

T = TypeVar("T")
N = TypeVar("N", int, float)
Kind = Callable[[str], T]

TOKEN_LENGTH = 16  # 64 bits as hexadecimal digits: too many to guess over a network
NODES_LIMIT = 500  # the page's overview shows this many


class KindError(ValueError):
    """A text that is not of its kind.

    Attributes:
        remedy: What to do; `{example}` stands for the example of the setting.
        cause: What is wrong with the text, as a clause that follows it; empty if the remedy makes that plain.
    """

    def __init__(self, remedy: str, cause: str = "") -> None:
        super().__init__(remedy)
        self.remedy = remedy
        self.cause = cause


@dataclass(frozen=True)
class LogSource:
    """A port with the USB log of a node; `node` is the node's name, for lines that lack it."""

    port: str
    node: str | None


@dataclass(frozen=True)
class NodeThresholds:
    """The thresholds of one node, °C and %RH."""

    node: str
    beta_temp: float
    beta_hum: float


@dataclass(frozen=True)
class StatusAddress:
    """Address at which a station (`gateway`, `server`, `csv`, `edgelog`) serves its status."""

    station: str
    host: str
    port: int


# Numbers and words


def whole(low: int, high: int) -> Kind[int]:
    """A whole number from `low` to `high`."""
    return _within(numerals.whole, low, high, f"use a whole number from {low} to {high}, such as {{example}}")


def number(low: float, high: float, noun: str = "a number") -> Kind[float]:
    """A finite number from `low` to `high`, which the remedy calls `noun`."""
    return _within(numerals.decimal, low, high, f"use {noun} from {low:g} to {high:g}, such as {{example}}")


def _within(of: Callable[[str], N], low: float, high: float, remedy: str) -> Kind[N]:
    def parse(given: str) -> N:
        with contextlib.suppress(ValueError):
            value = of(given.strip())
            if low <= value <= high:  # false for NaN too
                return value
        raise KindError(remedy)

    return parse


def utc_offset(given: str) -> timezone:
    """A zone that is a fixed number of hours from UTC, such as -8 or 5.5."""
    return timezone(timedelta(hours=number(-14, 14, "hours")(given)))


def choice(values: Mapping[str, T]) -> Kind[T]:
    """One of the words in `values`, as the value that belongs to it."""

    def parse(given: str) -> T:
        if given.strip() not in values:
            raise KindError(f"use one of {', '.join(values)}")
        return values[given.strip()]

    return parse


def word(*words: str) -> Kind[str]:
    """One of these words."""
    return choice({one: one for one in words})


def host(port_name: str) -> Kind[str]:
    """A host name or address, whose port is the setting `port_name`."""

    def parse(given: str) -> str:
        found = _matching(
            r"[\w.:%-]+", given, f"use a host name or address such as 127.0.0.1, with the port in {port_name}"
        )
        if not _is_host(found):
            bare, _, port = found.rpartition(":")
            remedy = (
                f"write {bare} here and the port as {port_name}={port}" if _is_host(bare) else "use 127.0.0.1 or ::1"
            )
            raise KindError(remedy, "which is not a host alone")
        return found

    return parse


def _is_host(text: str) -> bool:
    """Whether a text of the right characters is a name or an address; only an IPv6 address has colons."""
    if ":" not in text:
        return bool(text)
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def name(given: str) -> str:
    """A name that is valid in a topic, as a client id and as the name of a schema."""
    remedy = "use 1 to 64 letters, digits, dots, dashes or underscores, a letter, digit or underscore first"
    return _matching(r"\w[\w.-]{0,63}", given, remedy)


def _matching(pattern: str, given: str, remedy: str) -> str:
    if re.fullmatch(pattern, given.strip(), re.ASCII) is None:
        raise KindError(remedy)
    return given.strip()


def token(given: str) -> str:
    """A token that is too long to guess."""
    if len(given) < TOKEN_LENGTH or not (given.isascii() and given.isprintable()):
        raise KindError(f"use {TOKEN_LENGTH} or more ASCII characters, such as the output of: openssl rand -hex 16")
    return given


def burst(given: str) -> Burst | None:
    """Outages as SHARE:SECONDS[:LOSS]; None for an empty text."""
    fields = given.strip().split(":")
    if fields == [""]:
        return None
    with contextlib.suppress(ValueError, TypeError):  # ValueError: not numbers; TypeError: not two or three of them
        found = Burst(*map(float, fields))
        if 0 <= found.share < 1 and 0 < found.mean_s < math.inf and 0 <= found.loss <= 1:
            return found
    raise KindError(
        "write SHARE:SECONDS or SHARE:SECONDS:LOSS, such as 0.05:120 for outages of 120 s during 5 % of the time"
    )


# Lists, separated by commas


def serial_ports(given: str) -> tuple[str, ...]:
    """One or more serial ports."""
    ports = _listed(given)
    if not ports:
        raise KindError("name at least one port, such as /dev/ttyUSB0")
    return ports


def log_sources(given: str) -> tuple[LogSource, ...]:
    """Serial ports, each as PORT or PORT=NODE."""
    return tuple(_log_source(part) for part in _listed(given))


def _log_source(part: str) -> LogSource:
    port, equals, node = part.partition("=")
    if not port or (equals and not (node.isprintable() and 1 <= len(node) <= 128)):
        raise KindError("write PORT or PORT=NODE, such as /dev/ttyUSB1=gateway/ttyUSB0")
    return LogSource(port, node or None)


def node_thresholds(given: str) -> tuple[NodeThresholds, ...]:
    """Thresholds of nodes, each as NODE=CELSIUS/PERCENT."""
    found = tuple(_node_thresholds(part) for part in _listed(given))
    if len({one.node for one in found}) != len(found):
        raise KindError("give each node its thresholds once", "which names a node twice")
    return found


def _node_thresholds(part: str) -> NodeThresholds:
    match = re.fullmatch(r"(.{1,128})=([0-9]{1,3}(?:\.[0-9]{1,2})?)/([0-9]{1,3}(?:\.[0-9]{1,2})?)", part, re.ASCII)
    if match is None or not (match[1].isprintable() and 0 < float(match[2]) <= 50 and 0 < float(match[3]) <= 100):
        raise KindError("write NODE=CELSIUS/PERCENT, such as gateway/ttyUSB0=0.3/2,gateway/ttyUSB1=0.7/4")
    return NodeThresholds(match[1].strip(), float(match[2]), float(match[3]))


def status_addresses(given: str) -> tuple[StatusAddress, ...]:
    """Status ports of stations, each as STATION=HOST:PORT."""
    return tuple(_status_address(part) for part in _listed(given))


def _status_address(part: str) -> StatusAddress:
    match = re.fullmatch(r"(gateway|server|csv|edgelog)=\[?([\w.:%-]+?)\]?:([0-9]{1,5})", part, re.ASCII)
    if match is None or not _is_host(match[2]) or not 1 <= int(match[3]) <= 65535:
        raise KindError("write STATION=HOST:PORT, such as gateway=127.0.0.1:5011,server=127.0.0.1:5012")
    return StatusAddress(match[1], match[2], int(match[3]))


def nodes(given: str) -> tuple[str, ...]:
    """Names of nodes and ranges of numbers; each node once."""
    found = dict.fromkeys(node for part in _listed(given) for node in _span(part))
    if len(found) > NODES_LIMIT:
        raise KindError(f"name at most {NODES_LIMIT} nodes")
    return tuple(found)


def _span(part: str) -> Iterable[str]:
    """The node that an entry names, or all numbers of its range."""
    span = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", part, re.ASCII)
    low, high = (int(span[1]), int(span[2])) if span else (0, 0)
    if not (part.isprintable() and len(part) <= 128 and low <= high < low + NODES_LIMIT):
        raise KindError(f"write names and ranges such as 1-20,33; at most {NODES_LIMIT} nodes")
    return map(str, range(low, high + 1)) if span else (part,)


def _listed(given: str) -> tuple[str, ...]:
    """The entries between the commas."""
    parts = tuple(part.strip() for part in given.split(",") if part.strip())
    if len(set(parts)) != len(parts):
        raise KindError("remove the repetition", "which has an entry twice")
    return parts


# Files


def path(given: str) -> Path:
    """A path with `~` and `~user` expanded; it need not exist."""
    if "\0" in given:
        raise KindError("write the whole path", "which is not a path")
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise KindError("write the whole path", "whose user does not exist on this machine") from None


def path_or_word(word: str) -> Kind[Path | str]:
    """A path as above, or exactly this word, which stays a text."""
    return lambda given: word if given.strip() == word else path(given)


def existing_file(given: str) -> Path:
    """A file that exists."""
    found = path(given)
    if not found.is_file():
        raise KindError("correct the path, or remove the line", "which is not a file")
    return found


def private_file(given: str) -> Path:
    """A file that holds a secret, readable by its owner and group only.

    The group may read it because service managers give credentials the mode 0440, and certificate tools 0640.
    """
    found = existing_file(given)
    mode = found.stat().st_mode & 0o777
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise KindError(f"run chmod 600 {found}", f"which other users have access to (mode {mode:03o})")
    if not os.access(found, os.R_OK):
        raise KindError("make it readable for the user that runs the station", "which this user cannot read")
    return found


def first_line(of: Kind[T]) -> Kind[T]:
    """The secret in the first line of a private file."""

    def parse(given: str) -> T:
        try:
            text = private_file(given).read_bytes().decode("utf-8-sig")  # editors may begin with a byte order mark
        except (OSError, UnicodeDecodeError):
            text = ""
        secret = text.partition("\n")[0].strip()
        if not secret:
            raise KindError("write the secret in its first line, as UTF-8 text", "whose first line holds none")
        return of(secret)

    return parse


FREE_TEXT = (str, nodes, log_sources)
"""Kinds of names that people choose, which may contain any sign."""
