"""Logs: constant sentences with fields, and a storm that is counted instead of said."""

import json
import logging

import pytest

from aoii.runtime import logs


def record(level: int = logging.WARNING, message: str = "frame damaged", **fields: object) -> logging.LogRecord:
    return logging.getLogger("t").makeRecord("t", level, __file__, 1, message, (), None, extra=fields)


def test_json_has_the_fields_and_the_time_in_utc() -> None:
    line = json.loads(logs.JsonFormatter("gateway").format(record(event="frame_damaged", reason="crc")))

    assert (line["station"], line["message"], line["event"], line["reason"]) == (
        "gateway",
        "frame damaged",
        "frame_damaged",
        "crc",
    )
    assert line["time"].endswith("Z")


def test_a_person_reads_the_fields_in_brackets() -> None:
    line = logs.HumanFormatter("gateway").format(record(event="frame_damaged", reason="crc"))

    assert line.endswith("WARNING gateway: frame damaged (reason=crc)")


def test_a_storm_is_said_once_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("aoii.runtime.logs.time.monotonic", lambda: now[0])
    storm = logs.StormFilter()

    said = [storm.filter(record()) for _ in range(5)]
    now[0] += logs.REPEAT_S
    after = record()

    assert said == [True, False, False, False, False]
    assert storm.filter(after)
    assert logs.fields_of(after)["withheld"] == 4


def test_each_reason_in_a_storm_is_said() -> None:
    storm = logs.StormFilter()

    said = [storm.filter(record(reason=reason)) for reason in ("crc", "long", "crc", "long")]

    assert said == [True, True, False, False]


def test_errors_are_never_withheld() -> None:
    storm = logs.StormFilter()

    assert all(storm.filter(record(logging.ERROR)) for _ in range(3))
