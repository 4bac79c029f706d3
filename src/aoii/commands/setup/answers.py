"""Answers: whether one is right, and all that a file gives, with every fault at once. Pure, but for named files.

An answer that names a file (a certificate, a password) is right only if the file is there.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from aoii.commands.setup.questions import GENERATE, SECRET_WORDS, Present, Question, known_keys, questions
from aoii.settings import BY_NAME
from aoii.settings.env_edit import writable
from aoii.settings.kinds import KindError

FILE = "_file"  # ends the key of a secret that is in a file
MAY_BE_EMPTY = ("MYSQL_PASSWORD",)
WORDS = {
    "MQTT_BROKER": "host", "MYSQL_HOST": "host", "WEB_HOST": "host",
    "MQTT_PORT": "port", "MYSQL_PORT": "port", "PORT": "port",
    "GATEWAY_ID": "name", "MYSQL_DATABASE": "name",
    "MQTT_TLS_CA": "file", "MYSQL_TLS_CA": "file", "MQTT_TLS_CERT": "file", "MQTT_TLS_KEY": "key",
    "SERIAL_PORT": "ports", "EDGE_LOG_PORT": "ports", "WEB_TOKEN": "token",
}  # fmt: skip
"""By setting the word of the text that says what is wanted."""


class Wrong(NamedTuple):
    """A fault of an answer: its key, the word of its text, and what that text is about."""

    key: str
    word: str
    about: str = ""


def wrong(question: Question, answer: str) -> Wrong | None:
    """What is wrong with an answer; None: it is right."""
    if question.form in ("choice", "choices"):
        words = answer.split(",") if question.form == "choices" else [answer]
        is_right = set(words) <= set(question.options) and len(set(words)) == len(words)
        return None if is_right else Wrong(question.key, "choice", ", ".join(question.options))
    if answer == GENERATE and question.setting == "WEB_TOKEN":
        return None
    if not answer and question.setting not in MAY_BE_EMPTY:
        return Wrong(question.key, WORDS.get(question.setting, "empty"))
    if not writable(answer):
        return Wrong(question.key, "line")
    try:
        BY_NAME[question.setting].kind(answer)
    except KindError as error:
        return Wrong(question.key, WORDS.get(question.setting, "empty"), error.cause)
    return None


def flattened(tree: Mapping[str, object], read: Callable[[str], str]) -> tuple[dict[str, str], list[Wrong]]:
    """The answers of a file by key, and the faults of its form.

    Args:
        tree: The file, as TOML or JSON says it.
        read: The secret in the file of this name; raises `KindError`.
    """
    found: dict[str, str] = {}
    faults: list[Wrong] = []
    known = known_keys()
    for key, value in _leaves(tree):
        bare = key.removesuffix(FILE)
        is_file = bare != key and bare.rpartition(".")[2] in SECRET_WORDS
        name = bare if is_file else key
        text = _text(value)
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            faults.append(Wrong(key, "unknown", near[0] if near else ", ".join(sorted(known))))
        elif text is None:
            faults.append(Wrong(key, "kind"))
        elif name in found:
            faults.append(Wrong(key, "twice", name))
        elif is_file:
            try:
                found[name] = read(text)
            except KindError as error:
                found[name] = ""
                faults.append(Wrong(key, "secret_file", f"{text}, {error.cause}"))
        else:
            found[name] = text
    return found, faults


def collected(given: Mapping[str, str], present: Present) -> tuple[dict[str, str], list[Wrong]]:
    """The answer to each question, and the faults: what is missing, and what is wrong.

    What is not given is as it is now, or at a default that needs nobody to see it.
    """
    answers: dict[str, str] = {}
    faults: list[Wrong] = []
    for question in questions(answers, present):
        if question.key in given:
            fault = wrong(question, given[question.key])
        elif question.is_safe:
            fault = wrong(question, question.proposal)
        else:
            fault = Wrong(question.key, "missing")
        is_usable = fault is None or question.form not in ("choice", "choices")
        answers[question.key] = given.get(question.key, question.proposal) if is_usable else question.options[0]
        if fault is not None:
            faults.append(fault)
    return answers, faults


def _leaves(tree: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _text(value: object) -> str | None:
    """The text of a value, as a person would type it; None for a kind that no answer has."""
    match value:
        case bool():
            return "yes" if value else "no"
        case str() | int():
            return str(value)
        case list() if all(isinstance(one, str) for one in value):
            return ",".join(value)
        case _:
            return None
