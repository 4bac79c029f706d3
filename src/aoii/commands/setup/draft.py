"""What the files of settings become by the answers: only what was answered, and is not so already. Pure."""

from collections.abc import Mapping
from typing import NamedTuple

from aoii.commands.setup.questions import NONE, ON_BROKER, ON_DATABASE, Present, questions, stations_of
from aoii.settings import BY_NAME
from aoii.settings.env_edit import edited

Wishes = dict[str | None, dict[str, str | None]]
"""By station (None: all) and setting its value; None: it is not to be set."""

SECRETS = "/etc/aoii/secrets"
IN_UNITS = {"AOII_DATA_DIR": "/var/lib/aoii", "LOG_FORMAT": "json"}
SECRET_FILES = {"MQTT_PASSWORD": "mqtt_password", "MYSQL_PASSWORD": "mysql_password", "WEB_TOKEN": "web_token"}
HEADINGS = {
    "en": "# Settings of {whose} on this machine. `aoii setup` wrote this; it keeps what you change or add.\n",
    "ko": "# 이 컴퓨터의 {whose} 설정입니다. `aoii setup`이 썼고, 직접 고치거나 덧붙인 내용은 그대로 둡니다.\n",
}
ALL_STATIONS = {"en": "all stations", "ko": "모든 스테이션"}


class Draft(NamedTuple):
    """The files, by station (None: the file that all share).

    Attributes:
        direct: Their texts with every secret in them, by which the answers are tested before anything is written.
        files: Their texts as they are to be written.
        secrets: The content of each file with a secret, by station and name of the file.
    """

    direct: dict[str | None, str]
    files: dict[str | None, str]
    secrets: dict[tuple[str, str], str]


def drafted(
    answers: Mapping[str, str], present: Present, texts: Mapping[str | None, str], *, is_system: bool = False
) -> Draft:
    """The files that the answers make of those that are there.

    Args:
        answers: All of them, right.
        present: What was there before.
        texts: The text of each file that exists.
        is_system: Whether units run the stations: then each secret is in a file that only its station sees.
    """
    direct: dict[str | None, str] = {}
    files: dict[str | None, str] = {}
    secrets: dict[tuple[str, str], str] = {}
    changes = _changes(_wishes(answers, present, is_system), present, texts)
    for station in (None, *stations_of(answers["role"])):
        wished = changes.get(station, {})
        whose = station or ALL_STATIONS[answers["language"]]
        text = texts[station] if station in texts else HEADINGS[answers["language"]].format(whose=whose)
        direct[station] = edited(text, _direct(station, present) | wished)
        if is_system and station is not None:
            for name in SECRET_FILES.keys() & wished.keys():
                if value := wished[name]:
                    secrets[station, SECRET_FILES[name]] = f"{value}\n"
                    wished = wished | {name: None, f"{name}_FILE": f"{SECRETS}/{station}/{SECRET_FILES[name]}"}
        files[station] = edited(text, wished)
    return Draft(direct, files, secrets)


def _direct(station: str | None, present: Present) -> dict[str, str | None]:
    """The secrets that are in files, in the place of the names of these: below another root the files are elsewhere."""
    found: dict[str, str | None] = {}
    for name, value in present.values.get(station, {}).items():
        if BY_NAME[name].secret and value and f"{name}_FILE" in present.values[station]:
            found |= {name: value, f"{name}_FILE": None}
    return found


def _wishes(answers: Mapping[str, str], present: Present, is_system: bool) -> Wishes:
    stations = stations_of(answers["role"])
    found: Wishes = {None: {}, **{station: {} for station in stations}}
    for question in questions(answers, present):
        if question.setting:
            found[question.station][question.setting] = answers[question.key]
    if "broker.host" in answers:
        _add_tls(found, "MQTT", answers["broker.tls"], [one for one in ON_BROKER if one in stations])
        for station in (one for one in ON_BROKER if one in stations):
            if answers["broker.login"] != "password":
                found[station] |= _unset("MQTT_USERNAME", "MQTT_PASSWORD", "MQTT_PASSWORD_FILE")
            if answers["broker.login"] != "certificate":
                found[station] |= _unset("MQTT_TLS_CERT", "MQTT_TLS_KEY")
    if answers.get("database.kind") == "mysql":
        _add_tls(found, "MYSQL", answers["database.tls"], [one for one in ON_DATABASE if one in stations])
    elif answers.get("database.kind") == "sqlite":
        of_mysql = _unset(*(name for name in BY_NAME if name.startswith("MYSQL_")))
        for wished in found.values():
            wished.update(of_mysql)
    if is_system:
        found[None] |= {name: present.value(name) or usual for name, usual in IN_UNITS.items()}
        if "gateway" in stations:
            place = present.value("NODE_KEYS_FILE", "gateway") or f"{SECRETS}/gateway/node_keys"
            found["gateway"]["NODE_KEYS_FILE"] = place
    return found


def _add_tls(wishes: Wishes, prefix: str, choice: str, stations: list[str]) -> None:
    if choice == "system":
        wishes[None][f"{prefix}_TLS_CA"] = "system"
    elif choice == NONE:
        wishes[None] |= _unset(f"{prefix}_TLS_CA")
        for station in stations:
            wishes[station] |= _unset(*(f"{prefix}_TLS_{word}" for word in ("CA", "CERT", "KEY")))


def _unset(*names: str) -> dict[str, str | None]:
    return dict.fromkeys(names)


def _changes(wishes: Wishes, present: Present, texts: Mapping[str | None, str]) -> Wishes:
    """The wishes that are not fulfilled already. What a station must not have, the file that all share must not set."""
    found: Wishes = {}
    for station, wished in wishes.items():
        mine = found.setdefault(station, {})
        for name, value in wished.items():
            if value is None:
                mine[name] = None
                if station is not None and name not in wishes[None]:
                    found.setdefault(None, {})[name] = None
            elif value != present.value(name, station):
                mine[name] = value
                if BY_NAME[name].secret:
                    mine[f"{name}_FILE"] = None
    return found
