"""Dead letters of both stores as one list, found by name, and as JSON whatever their payload is."""

import contextlib
import json
from pathlib import Path

import pytest

from aoii import settings
from aoii.commands.dlq_stores import Entry, Stores, utc_text
from aoii.core.errors import InputError, UnavailableError
from aoii.server.dead_letters.store import DeadLetters
from aoii.settings import Settings
from server.samples import a_reading


@pytest.fixture
def values(tmp_path: Path) -> Settings:
    with contextlib.closing(DeadLetters(tmp_path / "dead_letters.db", 4)) as letters:
        letters.add([a_reading(1), a_reading(2)], "bad_row", "")
        letters.add_to_ring([(b"\xff", "encoding: payload is not UTF-8")])
    return settings.load({"AOII_DATA_DIR": str(tmp_path)})


def test_letters_are_chosen_by_name_once_each_or_by_reason(values: Settings) -> None:
    with Stores(values, "server", False) as stores:
        named = stores.choose(["2", "server:2", "server:1"], None)
        malformed = stores.choose([], "malformed")
        every = stores.choose([], None)

    assert [entry.name for entry in named] == ["server:2", "server:1"]
    assert [entry.name for entry in malformed] == ["server:3"]
    assert [entry.identity for entry in every] == ["7/1/1", "7/1/2", "-"]


@pytest.mark.parametrize(("name", "said"), [("first", "is not a dead letter"), ("9", "there is no dead letter 9")])
def test_a_name_that_is_none_is_an_error_with_a_remedy(values: Settings, name: str, said: str) -> None:
    with Stores(values, "server", False) as stores, pytest.raises(InputError) as caught:
        stores.choose([name], None)

    assert said in caught.value.problem
    assert "aoii dlq list" in caught.value.remedy


def test_a_store_that_is_missing_is_told_and_both_missing_is_an_error(values: Settings, tmp_path: Path) -> None:
    with Stores(values, None, False) as stores:
        pass

    assert stores.troubles == [f"gateway: {tmp_path}/outbox.db does not exist"]
    with pytest.raises(UnavailableError, match="no store of dead letters"):
        Stores(settings.load({"AOII_DATA_DIR": str(tmp_path / "empty")}), None, False)


def test_a_payload_that_is_no_text_is_base64(values: Settings) -> None:
    with Stores(values, "server", False) as stores:
        text, binary = (stores.choose([name], None)[0].fields() for name in ("1", "3"))

    assert isinstance(json.loads(str(text["payload"])), dict)
    assert text["payload_base64"] is None
    assert (binary["payload"], binary["payload_base64"]) == (None, "/w==")


def test_times_are_utc() -> None:
    assert utc_text(1_451_606_400_123) == "2016-01-01T00:00:00Z"
    assert Entry.__dataclass_params__.frozen  # type: ignore[attr-defined]  # of every dataclass
