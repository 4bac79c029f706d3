"""Node labels: the name and the place that people give a node, and what else is remembered of it beside its key.

A label is on top of the identity: frames, tables and topics have the node's number, so a new name changes no history.
The text is JSON, `{"v": 1, "nodes": {"7": {"name": …, "place": …, "flashed": …, "retired": …}}}`; nothing in it is
secret. The nodes are our own by number, and those with the old firmware by the identity that the gateway gives them.
"""

import json
import re
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, replace

from aoii.broker.messages import is_node_name
from aoii.core.errors import InputError

FORMAT = 1
NUMBER_LIMIT = EPOCH_LIMIT = 0xFFFF  # both are u16 on the radio
NUMBER = re.compile(r"0|[1-9]\d{0,4}", re.ASCII)
RULE = "1 to 128 printable characters, no blank at either end, and nothing that a spreadsheet takes for a formula"


@dataclass(frozen=True)
class NodeLabel:
    """What people call a node, and what became of it.

    Attributes:
        name: Unique among the nodes that are not retired, whatever the case of its letters; None: it has none.
        place: Where it is; None if nobody has said.
        flashed: The highest epoch that was written for a board, 0..65535; None: none yet.
        retired: Its last epoch, if it is retired: its number is not given out again unasked.
    """

    name: str | None = None
    place: str | None = None
    flashed: int | None = None
    retired: int | None = None


Labels = Mapping[str, NodeLabel]
"""The labels by node, as the column `node` of the tables has it."""
UNLABELLED = NodeLabel()


def encode(labels: Labels) -> str:
    """The text of the file: what is None is left out."""
    nodes = {
        node: {name: value for name, value in asdict(labels[node]).items() if value is not None}
        for node in sorted(labels, key=order)
    }
    return json.dumps({"v": FORMAT, "nodes": nodes}, ensure_ascii=False, indent=1) + "\n"


def decode(text: str) -> dict[str, NodeLabel]:
    """The labels in the text of the file.

    Raises:
        InputError: It is not such a text; the message says what is wrong, and of which node.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"not JSON ({error})", "correct it, or restore it from a backup") from error
    if not isinstance(content, dict) or not isinstance(nodes := content.get("nodes"), dict):
        raise InputError('not {"v": 1, "nodes": {…}}', "correct it, or restore it from a backup")
    if content.get("v") != FORMAT:
        raise InputError(f"format {content.get('v')!r} is not {FORMAT}", "use the version of aoii that wrote it")
    labels: dict[str, NodeLabel] = {}
    for node, fields in nodes.items():
        labels[node] = _decoded(node, fields)
        require_unique(labels, node)
    return labels


def _decoded(node: str, fields: object) -> NodeLabel:
    if not is_node_name(node):
        raise InputError(f"{node!r} is no node", "use its number, or the identity that the web page shows")
    if not isinstance(fields, dict) or (strange := fields.keys() - asdict(UNLABELLED).keys()):
        what = "is not {…}" if not isinstance(fields, dict) else f"has {sorted(strange)[0]!r}"
        raise InputError(f"node {node} {what}", "it may have name, place, flashed and retired")
    for epoch in ("flashed", "retired"):
        value = fields.get(epoch)
        if value is not None and (type(value) is not int or not 0 <= value <= EPOCH_LIMIT):
            raise InputError(f"node {node}: {epoch} is {value!r}", f"use an epoch, a whole number 0 to {EPOCH_LIMIT}")
        if value is not None and not NUMBER.fullmatch(node):
            raise InputError(f"node {node} has no number, and so no epoch", f"take {epoch} away")
    for label in ("name", "place"):
        if fields.get(label) is not None:
            require_label(label, fields[label])
    return NodeLabel(**fields)


def require_label(what: str, text: object) -> str:
    """`text` as it is stored, if it can be a name or a place; letters that are composed of several become one.

    Args:
        what: `name` or `place`.
        text: What somebody gave.

    Raises:
        InputError: It cannot be one.
    """
    composed = unicodedata.normalize("NFC", text) if isinstance(text, str) else ""
    if not is_node_name(composed):
        raise InputError(f"the {what} {text!r} cannot be used", f"use {RULE}")
    if what == "name" and composed.isdecimal():
        raise InputError(f"the name {text} is a number", "use one that nobody takes for the number of another node")
    return composed


def require_unique(labels: Labels, node: str) -> None:
    """Have no other node that is not retired with the name of this one, or with this name for its identity.

    Raises:
        InputError: There is one.
    """
    own = labels[node]
    if own.name is None or own.retired is not None:
        return
    for other, label in labels.items():
        if other != node and label.retired is None and _key(own.name) in (_key(other), _key(label.name)):
            raise InputError(f"node {other} has the name {own.name} already", "use another name")


def with_label(labels: Labels, node: str, name: str | None = None, place: str | None = None) -> dict[str, NodeLabel]:
    """A copy of `labels` in which a node has this name and place; None: as before; empty: none.

    Raises:
        InputError: One of them cannot be used.
    """
    if not is_node_name(node):
        raise InputError(f"{node!r} is no node", "use its number, or the identity that the web page shows")
    found = dict(labels)
    label = labels.get(node, UNLABELLED)
    if name is not None:
        label = replace(label, name=require_label("name", name) if name else None)
    if place is not None:
        label = replace(label, place=require_label("place", place) if place else None)
    found[node] = label
    require_unique(found, node)
    return found


def free_number(keys: Container[int], labels: Labels) -> int:
    """The lowest number from 1 that no node has, or has had.

    Raises:
        InputError: All are taken.
    """
    for number in range(1, NUMBER_LIMIT + 1):
        if number not in keys and str(number) not in labels:
            return number
    raise InputError("every number is taken", "use that of a retired node, with --again")


def find(labels: Labels, text: str) -> str:
    """The node that somebody means with its number, its identity or its name; one that is not retired goes first.

    Raises:
        InputError: No node has this name.
    """
    if NUMBER.fullmatch(text) and int(text) <= NUMBER_LIMIT:
        return text
    if text in labels:
        return text
    named = [node for node, label in labels.items() if _key(label.name) == _key(text)]
    if not named:
        raise InputError(f"no node has the name {text}", "run `aoii node list` to see the nodes")
    return min(named, key=lambda node: labels[node].retired is not None)


def titled(node: str, label: NodeLabel) -> str:
    """How to write a node for people: with its name, if it has one."""
    return f"node {node}" if label.name is None else f"node {node} ({label.name})"


def order(node: str) -> tuple[int, str]:
    """The key by which nodes are sorted: our own by number, then the others."""
    return (int(node), "") if NUMBER.fullmatch(node) else (NUMBER_LIMIT + 1, node)


def _key(name: str | None) -> str | None:
    return None if name is None else unicodedata.normalize("NFC", name).casefold()
