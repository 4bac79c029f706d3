"""Parameters of a query: what is not usable is refused with what to write."""

from datetime import datetime

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from aoii.core.errors import InputError
from aoii.web.parameters import choice, instant, whole_number


def request(query: str) -> Request:
    return Request({"type": "http", "query_string": query.encode()})


def test_a_parameter_that_is_not_given_has_its_default() -> None:
    assert whole_number(request(""), "limit", 100, 5000) == 100
    assert choice(request(""), "view", "node", ("fleet", "node")) == "node"
    assert instant(request(""), "start") is None


def test_an_instant_is_utc_unless_it_names_a_zone() -> None:
    noon = datetime(2026, 1, 31, 12)  # noqa: DTZ001 - UTC without zone, as in the database

    for text in ("2026-01-31T12:00", "2026-01-31T12:00:00Z", "2026-01-31T21:00:00%2B09:00"):
        assert instant(request(f"start={text}"), "start") == noon


def test_an_error_repeats_only_the_beginning_of_a_long_value() -> None:
    with pytest.raises(InputError, match="use one of fleet, node") as caught:
        choice(request("view=" + "x" * 5000), "view", "node", ("fleet", "node"))

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("limit", ["0", "-1", "1000000000", "many", "1.5", "", "1e3", "９", "9" * 5000, "1;DROP"])
def test_a_wrong_limit_is_refused_with_what_to_write(client: TestClient, limit: str) -> None:
    answer = client.get("/api/recent", params={"limit": limit})

    assert answer.status_code == 400
    assert "use a whole number from 1 to 999999999, such as 500" in answer.json()["error"]
    assert len(answer.json()["error"]) < 200


@pytest.mark.parametrize(
    ("name", "text"), [("start", "yesterday"), ("end", "2016-13-01"), ("end", "9999-12-31T23:59-12:00")]
)
def test_a_wrong_instant_is_refused_with_what_to_write(client: TestClient, name: str, text: str) -> None:
    answer = client.get("/api/history", params={name: text})

    assert answer.status_code == 400
    assert f'{name} is "{text}"; use ISO 8601' in answer.json()["error"]
