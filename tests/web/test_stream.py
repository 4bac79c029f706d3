"""The stream of events: its parameters, and the number of streams."""

import pytest
from starlette.testclient import TestClient

from aoii.web import stream


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
