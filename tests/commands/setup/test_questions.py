"""Which questions there are, what they propose, and how an answer is read."""

import pytest

from aoii.commands.setup.answers import collected, flattened, wrong
from aoii.commands.setup.dialogue import chosen
from aoii.commands.setup.draft import drafted
from aoii.commands.setup.questions import Present, Question, known_keys, questions, stations_of

BY_ID = ("/dev/serial/by-id/usb-CP2102_attic", "/dev/serial/by-id/usb-CH340_roof")
NOTHING = Present({})


def asked(given: dict[str, str], present: Present = NOTHING) -> dict[str, Question]:
    """The questions by key, answered as given or else as proposed."""
    answers: dict[str, str] = {}
    found = {}
    for question in questions(answers, present):
        found[question.key] = question
        answers[question.key] = given.get(question.key, question.proposal)
    return found


@pytest.mark.parametrize(
    ("role", "absent", "there"),
    [
        ("gateway", "database.kind", "gateway.serial_port"),
        ("server", "region", "database.kind"),
        ("edgelog", "broker.host", "edgelog.port"),
        ("csv", "database.kind", "broker.host"),
        ("web", "gateway.id", "web.port"),
        ("csv,edgelog", "web.port", "edgelog.port"),
    ],
)
def test_only_what_a_role_needs_is_asked(role: str, absent: str, there: str) -> None:
    found = asked({"role": role})

    assert there in found
    assert absent not in found
    assert found.keys() <= known_keys()


def test_all_questions_that_there_can_be_are_known() -> None:
    everything = {"role": "all,csv,edgelog", "broker.tls": "own", "database.kind": "mysql", "database.tls": "own"}
    more = {"web.host": "10.0.0.5"}

    ways = [asked(everything | more | {"broker.login": login}).keys() for login in ("password", "certificate")]

    assert ways[0] | ways[1] == known_keys()


def test_ports_are_chosen_by_number_or_typed() -> None:
    port = asked({"role": "gateway"}, Present({}, ports=BY_ID))["gateway.serial_port"]

    assert (port.options, port.proposal, port.is_safe) == (BY_ID, BY_ID[0], False)
    assert chosen(port, "2") == BY_ID[1]
    assert chosen(port, "1, 2") == ",".join(BY_ID)
    assert chosen(port, "/dev/ttyAMA0") == "/dev/ttyAMA0"
    assert chosen(port, "3") == "3"
    assert chosen(Question("web.port", "text"), "2") == "2"


def test_the_only_port_needs_nobody_to_choose_it() -> None:
    assert asked({"role": "gateway"}, Present({}, ports=BY_ID[:1]))["gateway.serial_port"].is_safe


def test_what_is_set_is_proposed_and_a_station_s_own_value_first() -> None:
    present = Present(
        {None: {"MQTT_BROKER": "hub", "MQTT_USERNAME": "all"}, "server": {"MQTT_USERNAME": "mine"}},
        stations=("gateway", "server"),
    )

    found = asked({}, present)

    assert found["role"].proposal == "gateway,server"
    assert found["broker.host"].proposal == "hub"
    assert found["broker.login"].proposal == "password"
    assert (found["broker.server.user"].proposal, found["broker.gateway.user"].proposal) == ("mine", "all")


@pytest.mark.parametrize(
    ("question", "answer", "word"),
    [
        (Question("role", "choices", options=("all", "web")), "all,moon", "choice"),
        (Question("role", "choices", options=("all", "web")), "web,web", "choice"),
        (Question("x", "text", setting="MQTT_BROKER"), "hub:1883", "host"),
        (Question("x", "text", setting="MQTT_PORT"), "0", "port"),
        (Question("x", "secret", setting="MQTT_PASSWORD"), "", "empty"),
        (Question("x", "secret", setting="MQTT_PASSWORD"), " padded", "line"),
        (Question("x", "secret", setting="MQTT_PASSWORD"), "two\nlines", "line"),
        (Question("x", "text", setting="MQTT_TLS_CA"), "nowhere.crt", "file"),
        (Question("x", "secret", setting="WEB_TOKEN"), "short", "token"),
        (Question("x", "ports", setting="SERIAL_PORT"), ",", "ports"),
    ],
)
def test_a_wrong_answer_has_a_word_for_what_is_wanted(question: Question, answer: str, word: str) -> None:
    fault = wrong(question, answer)

    assert fault is not None
    assert fault.word == word


@pytest.mark.parametrize("answer", ["pa #ss$word'\"", "generate me", "ключ"])
def test_a_secret_may_be_anything_on_one_line(answer: str) -> None:
    assert wrong(Question("x", "secret", setting="MQTT_PASSWORD"), answer) is None


def test_a_file_gives_texts_numbers_and_lists() -> None:
    tree = {
        "role": ["gateway", "csv"],
        "broker": {"port": 1884, "gateway": {"password_file": "p"}},
        "web": {"token": None},
    }

    found, faults = flattened(tree, lambda name: f"from {name}")

    assert found == {"role": "gateway,csv", "broker.port": "1884", "broker.gateway.password": "from p"}
    assert [(fault.key, fault.word) for fault in faults] == [("web.token", "kind")]


def test_a_wrong_choice_does_not_hide_the_faults_behind_it() -> None:
    _, faults = collected({"role": "all", "region": "moon", "broker.login": "magic", "web.port": "x"}, NOTHING)

    assert {fault.key for fault in faults} == {"region", "gateway.serial_port", "broker.login", "web.port"}


def test_a_station_without_a_login_loses_the_one_that_all_share() -> None:
    present = Present({None: {"MQTT_USERNAME": "all", "MQTT_PASSWORD": "x"}})
    answers = {key: one.proposal for key, one in asked({"role": "csv"}, present).items()} | {"broker.login": "none"}

    made = drafted(
        answers | {"role": "csv"}, present, {None: "MQTT_USERNAME=all\nMQTT_PASSWORD=x\n# mine\nSMTP_HOST=mail\n"}
    )

    assert made.files[None] == "# mine\nSMTP_HOST=mail\nMQTT_BROKER=localhost\nMQTT_PORT=1883\n"
    assert "MQTT" not in made.files["csv"]


def test_a_role_of_several_stations_names_each_once() -> None:
    assert stations_of("all,web,csv") == ("gateway", "server", "web", "csv")
