"""Lines of a node's USB log, decoded."""
# ruff: noqa: DTZ001 - the times of the table have no zone

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aoii.server.edge_log_line import decode_line

NOW = datetime(2026, 1, 2, 3, 4, 5)
OLD = "21.50,40.00,21.00,41.25,0.50,1.25,SEND & TRAIN,512,100000,200000"
NEW = "21.50,40.00,21.70,41.25,-0.20,-1.25,SKIP,0,0,0,7,1451606400123"


def test_a_line_of_the_old_firmware_is_a_row_whose_errors_have_no_sign() -> None:
    row = decode_line(OLD, NOW)

    assert row is not None
    assert (row.actual_temp, row.actual_humidity, row.pred_temp, row.pred_humidity) == (21.5, 40.0, 21.0, 41.25)
    assert (row.error_temp, row.error_humidity) == (0.5, 1.25)
    assert (row.triggered, row.status, row.inference_time_us) == (True, "SEND & TRAIN", 512)
    assert (row.free_heap, row.total_heap, row.node, row.event_time) == (100_000, 200_000, None, None)
    assert row.created_at == NOW


def test_a_line_of_ours_names_its_node_and_its_time() -> None:
    row = decode_line(NEW, NOW)

    assert row is not None
    assert (row.node, row.event_time) == ("7", datetime(2016, 1, 1, 0, 0, 0, 123000))
    assert (row.triggered, row.error_temp, row.error_humidity) == (False, 0.2, 1.25)
    assert decode_line(NEW.replace("1451606400123", ""), NOW) == replace(row, event_time=None)


RAW = "21.50,40.00,0,0,0,0,RAW,25000,320000,346716"  # what each firmware of the older installation prints
DELTA = "26.40,28.32,26.40,28.32,0.620,9.585,SEND (DELTA),9,318568,346716"
SEVEN = "26.05,29.06,26.27,28.40,0.220,0.658,SKIP"


@pytest.mark.parametrize(
    ("text", "triggered", "errors", "counts"),
    [
        (RAW, False, (0.0, 0.0), (25000, 320000, 346716)),
        (DELTA, True, (0.62, 9.585), (9, 318568, 346716)),
        (SEVEN, False, (0.22, 0.658), (None, None, None)),
        (SEVEN.replace("SKIP", "HEARTBEAT"), True, (0.22, 0.658), (None, None, None)),
        (SEVEN.replace("SKIP", "SEND & TRAIN"), True, (0.22, 0.658), (None, None, None)),
    ],
)
def test_every_firmware_of_the_older_installation_is_understood(
    text: str, triggered: bool, errors: tuple[float, float], counts: tuple[int | None, ...]
) -> None:
    row = decode_line(text, NOW)

    assert row is not None
    assert (row.status, row.triggered) == (text.split(",")[6], triggered)
    assert (row.error_temp, row.error_humidity) == errors
    assert (row.inference_time_us, row.free_heap, row.total_heap) == counts


def test_a_first_line_that_cannot_be_checked_is_noise() -> None:
    assert decode_line(RAW, NOW, is_first=True) is None
    assert decode_line(DELTA, NOW, is_first=True) is None
    assert decode_line(SEVEN, NOW, is_first=True) is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rst:0x1 (POWERON_RESET),boot:0x13",
        OLD.rsplit(",", 1)[0],
        OLD + ",7",
        OLD + ",7,1,2",
        OLD.replace("SEND & TRAIN", "SEND"),
        OLD.replace("21.50", "nan"),
        OLD.replace("21.50", "1e9"),
        OLD.replace("21.50", "2_1.50"),
        OLD.replace("21.50", "٢١.50"),
        OLD.replace("512", "-1"),
        OLD.replace("512", "5_12"),
        OLD.replace("512", "٥١٢"),
        ",".join(OLD.split(",")[:8]),
        SEVEN.replace("SKIP", ""),
        OLD.replace("512", "5.5"),
        OLD.replace("200000", str(2**31)),
        OLD + ",,1451606400123",
        OLD + f",{'n' * 129},1451606400123",
        OLD + ",=HYPERLINK(A1),1451606400123",
        OLD + ",@7,1451606400123",
        OLD + ",7,253402300800000",
    ],
)
def test_anything_else_is_noise(text: str) -> None:
    assert decode_line(text, NOW) is None


def test_a_first_line_whose_beginning_is_torn_off_is_rejected() -> None:
    for cut in range(1, 5):
        torn = OLD[cut:]
        assert decode_line(torn, NOW, is_first=True) is None

    assert decode_line(OLD, NOW, is_first=True) is not None
    assert decode_line(NEW, NOW, is_first=True) is not None


@given(
    st.text(max_size=100) | st.lists(st.text("0123456789.-naife", max_size=6), min_size=10, max_size=12).map(",".join)
)
def test_any_text_is_a_row_or_noise(text: str) -> None:
    fields = text.split(",")
    if len(fields) >= 10:
        fields[6] = "SKIP"
    row = decode_line(",".join(fields), NOW)

    assert row is None or row.status == "SKIP"
