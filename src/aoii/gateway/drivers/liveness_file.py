"""The file that carries what a gateway knows of its nodes' silence over a restart: `liveness.json` beside the outbox.

It is replaced as a whole, every ten minutes and at the end, because a memory card does not like to be written. So after
a crash up to ten minutes of it are missing, and then nobody may be accused: each node that was not dead gets its whole
deadline again. A file that is damaged or missing is as none.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aoii.gateway.liveness import SILENCES, Heard

log = logging.getLogger(__name__)

FORMAT = 1


@dataclass(frozen=True)
class Remembered:
    """What the file has.

    Attributes:
        is_complete: Whether the gateway ended in order, so that nothing is missing.
        listened_ms: By receiver, for how long it has listened.
        heard: By node, when it was heard.
    """

    is_complete: bool = False
    listened_ms: Mapping[str, int] = field(default_factory=dict)
    heard: Mapping[str, Heard] = field(default_factory=dict)


def read(path: Path) -> Remembered:
    """What the file has; nothing if it is missing or damaged, which is logged."""
    try:
        return _decoded(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return Remembered()
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        fields = {"event": "liveness_file_unusable", "path": str(path), "reason": str(error)}
        log.warning("file of the nodes' silences cannot be used; each gets its whole deadline again", extra=fields)
        return Remembered()


def write(path: Path, remembered: Remembered) -> None:
    """Replace the file.

    Raises:
        OSError: It cannot be written; then the old one is still there.
    """
    heard = {
        node: [one.receiver, one.heard_ms, one.heartbeat_s, *one.silences_ms] for node, one in remembered.heard.items()
    }
    content = {
        "v": FORMAT,
        "complete": remembered.is_complete,
        "listened_ms": dict(remembered.listened_ms),
        "heard": heard,
        "heard_unix_ms": {node: one.unix_ms for node, one in remembered.heard.items() if one.unix_ms is not None},
        "faulty": [node for node, one in remembered.heard.items() if one.is_faulty],
    }
    new = path.with_suffix(".new")
    with new.open("w", encoding="utf-8") as file:
        json.dump(content, file, separators=(",", ":"))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _decoded(content: Any) -> Remembered:
    if content["v"] != FORMAT:
        raise ValueError(f"format {content['v']} is not {FORMAT}")
    listened_ms = {str(receiver): _whole(ms) for receiver, ms in content["listened_ms"].items()}
    unix_ms = {str(node): _whole(ms) for node, ms in content.get("heard_unix_ms", {}).items()}
    faulty = set(content.get("faulty", ()))
    heard = {}
    for node, (receiver, heard_ms, heartbeat_s, *silences_ms) in content["heard"].items():
        rest = tuple(map(_whole, silences_ms[-SILENCES:]))
        promised = Heard(str(receiver), _whole(heard_ms), _whole(heartbeat_s), rest)
        heard[str(node)] = replace(promised, unix_ms=unix_ms.get(node), is_faulty=node in faulty)
    return Remembered(content["complete"] is True, listened_ms, heard)


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no whole number from 0")
    return value
