"""The stream of events: its parameters, a snapshot with everything, then updates, with the status once a second."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from aoii.web import shared_fleet, stream
from aoii.web.live import Live
from aoii.web.stream import Event, FleetSubscriber, NodeSubscriber, PipelineSubscriber, Subscriber
from web.conftest import Load
from web.recorded import Minute, minutes

STATUS = {"now_ms", "database_away", "broker_up", "more_nodes", "states", "pipeline"}
SETTINGS = {"beta_temp", "beta_hum", "period_s", "silent_after_s", "simulated", "speed", "coarse"}
POINTS = {"samples", "estimates", "packets"}
SPAN_S = 3600


@pytest.fixture
def live(load: Load) -> Iterator[Live]:
    """A live view that is fed by the test, without threads."""
    live = Live(load())
    add(live, list(minutes("7", count=10)))
    yield live
    live.source.close()


def add(live: Live, story: list[Minute]) -> None:
    for minute in story:
        live.shared.fleet.add_log_row(minute.log)
        live.shared.fleet.add_message(minute.estimate)


def polled(subscriber: Subscriber) -> Event:
    event = subscriber.next_event()
    assert event is not None
    return event


@pytest.mark.parametrize("span", ["0", "60", "day", "86401", "-3600", ""])
def test_a_wrong_span_of_the_stream_is_refused_with_the_choices(client: TestClient, span: str) -> None:
    answer = client.get("/events", params={"span": span})

    assert answer.status_code == 400
    assert "use one of 3600, 21600, 86400 (seconds)" in answer.json()["error"]


def test_an_unknown_view_is_refused_with_the_choices(client: TestClient) -> None:
    answer = client.get("/events", params={"view": "attic"})

    assert answer.status_code == 400
    assert "use one of fleet, node, pipeline" in answer.json()["error"]


def test_one_page_too_many_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "STREAMS_LIMIT", 0)

    answer = client.get("/events")

    assert answer.status_code == 503
    assert "close one" in answer.json()["error"]


def test_a_node_starts_with_everything(live: Live) -> None:
    name, content = polled(NodeSubscriber(live, "7", SPAN_S))

    assert name == "snapshot"
    assert content.keys() == {"view", "node", "span_s", "previous", "next", "summary"} | STATUS | SETTINGS | POINTS
    assert (content["view"], content["node"], content["span_s"]) == ("node", "7", SPAN_S)
    assert len(content["samples"]) == 10  # type: ignore[arg-type]  # JSON


def test_new_points_of_a_node_come_at_once_and_alone(live: Live) -> None:
    subscriber = NodeSubscriber(live, "7", SPAN_S)
    polled(subscriber)
    new = list(minutes("7", count=11))[10:]
    assert subscriber.next_event() is None

    add(live, new)

    name, content = polled(subscriber)
    assert name == "update"
    assert content.keys() == {"samples", "estimates"}
    assert content["estimates"] == [[new[0].estimate.unix_ms, new[0].estimate.pred_t, new[0].estimate.pred_h]]
    assert subscriber.next_event() is None


def test_the_status_comes_every_second_although_nothing_is_new(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [NodeSubscriber(live, "7", SPAN_S), FleetSubscriber(live), PipelineSubscriber(live)]
    for page in pages:
        polled(page)
    assert [page.next_event() for page in pages] == [None, None, None]

    monkeypatch.setattr(stream, "STATUS_PERIOD_S", -1.0)

    for page in pages:
        name, content = polled(page)
        assert name == "update"
        assert content.keys() >= STATUS
        assert not content.keys() & SETTINGS


def test_a_wanted_node_is_shown_as_soon_as_it_is_known(live: Live) -> None:
    subscriber = NodeSubscriber(live, "12", SPAN_S)
    before = polled(subscriber)

    add(live, list(minutes("12", count=1)))

    name, content = polled(subscriber)
    assert before.content["node"] == "7"
    assert (name, content["node"], content["previous"], content["next"]) == ("snapshot", "12", "7", None)


def test_without_a_node_the_page_is_empty(load: Load) -> None:
    name, content = polled(NodeSubscriber(Live(load()), None, SPAN_S))

    assert (name, content["node"], content["samples"], content["states"]) == ("snapshot", None, [], {})
    assert "summary" not in content


@pytest.mark.parametrize("view", ["node", "fleet"])
def test_another_fleet_starts_again_with_a_snapshot(live: Live, view: str) -> None:
    subscriber: Subscriber = NodeSubscriber(live, "7", SPAN_S) if view == "node" else FleetSubscriber(live)
    polled(subscriber)

    live.shared.add_nodes([], is_replaced=True)

    assert polled(subscriber).name == "snapshot"


def test_the_fleet_sends_only_the_tiles_that_changed(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    subscriber = FleetSubscriber(live)
    name, content = polled(subscriber)
    assert (name, [tile["node"] for tile in content["nodes"]]) == ("snapshot", ["7"])  # type: ignore[attr-defined]  # JSON
    monkeypatch.setattr(stream, "STATUS_PERIOD_S", -1.0)
    monkeypatch.setattr(shared_fleet, "SUMMARY_MAX_AGE_S", -1.0)
    assert "nodes" not in polled(subscriber).content

    live.shared.fleet.expect("8")

    changed = polled(subscriber).content["nodes"]
    assert [tile["node"] for tile in changed] == ["8"]  # type: ignore[attr-defined]  # JSON


def test_the_pipeline_comes_whole_every_time(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    subscriber = PipelineSubscriber(live)
    first = polled(subscriber)
    monkeypatch.setattr(stream, "STATUS_PERIOD_S", -1.0)

    second = polled(subscriber)

    assert (first.name, first.content["view"], second.name) == ("snapshot", "pipeline", "update")
    assert second.content.keys() == {"hops", "others", "dead_letters"} | STATUS
