"""The questions of `aoii setup`, in their order: which there are depends on the answers before them. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aoii.settings.regions import OLDER, REGIONS

Form = Literal["choice", "choices", "text", "secret", "ports"]
LANGUAGES = ("en", "ko")
ROLES = ("all", "gateway", "server", "web", "csv", "edgelog")
ALL = ("gateway", "server", "web")  # what `all` means
ON_BROKER = ("gateway", "server", "csv", "web")
ON_DATABASE = ("server", "edgelog", "web")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
NONE = "none"
GENERATE = "generate"


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        key: Its name in a file of answers, `broker.server.password` for a value in `[broker.server]`.
        form: How it is asked, and how its answer is read.
        proposal: What is taken if the answer is empty.
        is_safe: Whether the proposal may be taken without a person who has seen it.
        setting: The setting that the answer becomes, if it becomes one as it is.
        station: Whose setting it is; None: that of all.
        options: The answers of which one, or with `choices` several, must be chosen; for `ports`, what is there.
    """

    key: str
    form: Form
    proposal: str = ""
    is_safe: bool = True
    setting: str = ""
    station: str | None = None
    options: Sequence[str] = ()

    @property
    def text_key(self) -> str:
        """The key without the name of a station, under which its text is found."""
        first, *rest = self.key.split(".")
        return f"{first}.{rest[-1]}" if rest else first


@dataclass(frozen=True)
class Present:
    """What there is before the questions.

    Attributes:
        values: The settings that are set, by station (None: in the file that all share) and name; secrets as they are.
        stations: The stations that have a file of their own.
        ports: The serial ports of this machine, by the names that stay.
        language: That of this terminal.
    """

    values: Mapping[str | None, Mapping[str, str]]
    stations: Sequence[str] = ()
    ports: Sequence[str] = ()
    language: str = "en"

    def value(self, name: str, station: str | None = None) -> str:
        """The value that is in force; empty if none is set."""
        own = self.values.get(station, {})
        return own[name] if name in own else self.values.get(None, {}).get(name, "")


def stations_of(role: str) -> tuple[str, ...]:
    """The stations of a role, or of several with commas between them."""
    words = role.split(",")
    return tuple(dict.fromkeys(one for word in words for one in (ALL if word == "all" else (word,))))


def questions(answers: Mapping[str, str], present: Present) -> Iterator[Question]:
    """The questions in their order. Each must be answered in `answers` before the next is taken."""
    yield Question("language", "choice", present.language, options=LANGUAGES)
    role = ",".join(present.stations)
    role = "all" if not role or set(present.stations) == set(ALL) else role
    yield Question("role", "choices", role, bool(present.stations), options=ROLES)
    stations = stations_of(answers["role"])
    if "gateway" in stations:
        yield from _gateway(answers, present)
    if "edgelog" in stations:
        yield _port("edgelog.port", "EDGE_LOG_PORT", "edgelog", present)
    if set(ON_BROKER) & set(stations):
        yield from _broker(answers, present, [one for one in ON_BROKER if one in stations])
    if set(ON_DATABASE) & set(stations):
        yield from _database(answers, present, [one for one in ON_DATABASE if one in stations])
    if "web" in stations:
        yield from _web(answers, present)


def _gateway(answers: Mapping[str, str], present: Present) -> Iterator[Question]:
    known = present.value("RADIO_REGION", "gateway")
    region = known or ("KR920" if answers["language"] == "ko" else "EU868")
    options = (*(name for name in REGIONS if name != OLDER), OLDER)
    yield Question("region", "choice", region, bool(known), "RADIO_REGION", "gateway", options)
    name = present.value("GATEWAY_ID", "gateway") or "gateway"
    yield Question("gateway.id", "text", name, setting="GATEWAY_ID", station="gateway")
    yield _port("gateway.serial_port", "SERIAL_PORT", "gateway", present)


def _port(key: str, setting: str, station: str, present: Present) -> Question:
    known = present.value(setting, station)
    proposal = known or (present.ports[0] if present.ports else "")
    is_safe = bool(known) or len(present.ports) == 1
    return Question(key, "ports", proposal, is_safe, setting, station, tuple(present.ports))


def _broker(answers: Mapping[str, str], present: Present, stations: Sequence[str]) -> Iterator[Question]:
    yield Question("broker.host", "text", present.value("MQTT_BROKER") or "localhost", setting="MQTT_BROKER")
    yield from _tls("broker", "MQTT", answers, present)
    port = present.value("MQTT_PORT") or ("1883" if answers["broker.tls"] == NONE else "8883")
    yield Question("broker.port", "text", port, setting="MQTT_PORT")
    ways = (NONE, "password", "certificate") if answers["broker.tls"] != NONE else (NONE, "password")
    any_of = [station for station in stations if present.value("MQTT_USERNAME", station)]
    known = "password" if any_of else "certificate" if present.value("MQTT_TLS_CERT", stations[0]) else NONE
    yield Question("broker.login", "choice", known if known in ways else NONE, options=ways)
    for station in stations:
        own = f"broker.{station}"
        if answers["broker.login"] == "password":
            name = answers["gateway.id"] if station == "gateway" else station
            known = present.value("MQTT_USERNAME", station)
            yield Question(f"{own}.user", "text", known or name, setting="MQTT_USERNAME", station=station)
            yield _secret(f"{own}.password", "MQTT_PASSWORD", station, present)
        elif answers["broker.login"] == "certificate":
            for word, setting in (("cert", "MQTT_TLS_CERT"), ("key", "MQTT_TLS_KEY")):
                known = present.value(setting, station)
                yield Question(f"{own}.{word}", "text", known, bool(known), setting, station)


def _tls(own: str, prefix: str, answers: Mapping[str, str], present: Present) -> Iterator[Question]:
    known = present.value(f"{prefix}_TLS_CA")
    proposal = known if known == "system" else "own" if known else NONE
    yield Question(f"{own}.tls", "choice", proposal, options=(NONE, "own", "system"))
    if answers[f"{own}.tls"] == "own":
        path = "" if known == "system" else known
        yield Question(f"{own}.ca", "text", path, bool(path), f"{prefix}_TLS_CA")


def _secret(key: str, setting: str, station: str, present: Present) -> Question:
    known = present.value(setting, station)
    return Question(key, "secret", known, bool(known), setting, station)


def _database(answers: Mapping[str, str], present: Present, stations: Sequence[str]) -> Iterator[Question]:
    host = present.value("MYSQL_HOST")
    yield Question("database.kind", "choice", "mysql" if host else "sqlite", options=("sqlite", "mysql"))
    if answers["database.kind"] == "sqlite":
        return
    yield Question("database.host", "text", host or "localhost", setting="MYSQL_HOST")
    yield Question("database.port", "text", present.value("MYSQL_PORT") or "3306", setting="MYSQL_PORT")
    yield from _tls("database", "MYSQL", answers, present)
    yield Question("database.name", "text", present.value("MYSQL_DATABASE") or "aoii", setting="MYSQL_DATABASE")
    for station in stations:
        own = f"database.{station}"
        name = present.value("MYSQL_USER", station) or ("aoii_web" if station == "web" else "aoii_server")
        yield Question(f"{own}.user", "text", name, setting="MYSQL_USER", station=station)
        yield _secret(f"{own}.password", "MYSQL_PASSWORD", station, present)


def _web(answers: Mapping[str, str], present: Present) -> Iterator[Question]:
    yield Question(
        "web.host", "text", present.value("WEB_HOST", "web") or "127.0.0.1", setting="WEB_HOST", station="web"
    )
    yield Question("web.port", "text", present.value("PORT", "web") or "5001", setting="PORT", station="web")
    if answers["web.host"] not in LOOPBACK:
        token = present.value("WEB_TOKEN", "web") or GENERATE
        yield Question("web.token", "secret", token, True, "WEB_TOKEN", "web")


def known_keys() -> set[str]:
    """The key of every question that there can be."""
    found = {"language", "role", "region", "gateway.id", "gateway.serial_port", "edgelog.port"}
    found |= {f"broker.{word}" for word in ("host", "tls", "ca", "port", "login")}
    found |= {f"broker.{one}.{word}" for one in ON_BROKER for word in ("user", "password", "cert", "key")}
    found |= {f"database.{word}" for word in ("kind", "host", "port", "tls", "ca", "name")}
    found |= {f"database.{one}.{word}" for one in ON_DATABASE for word in ("user", "password")}
    return found | {f"web.{word}" for word in ("host", "port", "token")}


SECRET_WORDS = ("password", "token")
