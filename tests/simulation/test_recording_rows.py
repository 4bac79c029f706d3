"""The rows of recordings: ours, those of the older installation's four kinds of files, and what is said of them."""

from datetime import timedelta, timezone
from pathlib import Path

import pytest

from aoii.core.errors import InputError
from aoii.simulation import recording_rows
from aoii.simulation.recording_rows import AS_THEY_ARE, SENT_ONLY, Choices

HEADER = "timestamp,temperature,humidity\n"
GATEWAY_LOG = "Timestamp,Time_n,Event,Actual_T,Actual_H,Pred_T,Pred_H,Error_T,Error_H,Total_TX"
NODE_LOG = "actual_t,actual_h,pred_t,pred_h,error_t,error_h,status,inference_time_us,free_heap,total_heap"
MIDNIGHT = 1767225600.0  # 2026-01-01, UTC


def read(folder: Path, text: str, choices: Choices = AS_THEY_ARE) -> tuple[list[tuple[float, int, int]], list[str]]:
    """Seconds since midnight, hundredths of °C and of %RH of each row, and the notes."""
    path = folder / "recording.csv"
    path.write_text(text, encoding="utf-8")
    rows, notes = recording_rows.read(path, choices)
    return [(row.unix_s - MIDNIGHT, row.temperature_c, row.humidity_c) for row in rows], notes


def test_a_plain_recording_is_read_without_a_word(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER + "2026-01-01T00:01:00,20.06,50.1\n") == ([(60, 2006, 5010)], [])


def test_decimal_commas_units_and_unix_times_are_read_and_counted(tmp_path: Path) -> None:
    text = "timestamp;temperature (°C);humidity\n1767225660;20,06;50 %\n1767225720;20,12;51 %\n"

    assert read(tmp_path, text) == (
        [(60, 2006, 5000), (120, 2012, 5100)],
        [
            "semicolons are between its columns", "2 number(s) have a decimal comma", "2 number(s) have a unit",
            "2 time(s) are in Unix seconds",
        ],
    )  # fmt: skip


@pytest.mark.parametrize("value", ["", "nan", "NULL"])
def test_a_row_without_a_value_is_an_error_and_by_choice_a_gap(tmp_path: Path, value: str) -> None:
    text = HEADER + f"2026-01-01T00:00:00,20,50\n2026-01-01T00:01:00,{value},50\n"

    with pytest.raises(InputError, match=rf":3: temperature is {value or 'empty'}; `aoii lab convert` with --gaps"):
        read(tmp_path, text)
    assert read(tmp_path, text, Choices(gaps=True)) == (
        [(0, 2000, 5000)],
        ["1 row(s) lack a value and leave a gap"],
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("yesterday,1,2", "'yesterday' is not a time"),
        ("2026-01-01,warm,2", "'warm' is not a number"),
        ("2026-01-01,2_0.5,2", "'2_0.5' is not a number"),
        ("2026-01-01,68 °F,2", "'68 °F' is not in °C"),
        ("2026-01-01,1000,2", "1000 °C, 2 %RH is out of range"),
    ],
)
def test_a_malformed_row_is_an_error_that_names_its_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"recording\.csv:2: {message}"):
        read(tmp_path, f"{HEADER}{row}\n")


@pytest.mark.parametrize("text", ["", "time,temperature,humidity\n", "timestamp,actual_t\n"])
def test_a_file_of_no_known_kind_is_refused_with_what_it_lacks_and_has(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match=r"lacks timestamp|lacks temperature") as caught:
        read(tmp_path, text)
    assert all(f"'{name}'" in str(caught.value) for name in text.strip().split(",") if name)


def test_the_log_of_the_older_gateway_holds_what_was_sent(tmp_path: Path) -> None:
    text = GATEWAY_LOG + ",Transmission_Delay_Ms\r\n"
    text += "2025-12-31 16:00:12,0.6668,RX,24.11,27.60,12.78,31.50,11.33,3.90,1,65\r\n"
    text += "2025-12-31 16:01:12,0.6675,EST,,,29.09,21.71,,,1,\r\n"

    assert read(tmp_path, text, Choices(zone=timezone(-timedelta(hours=8)))) == (
        [(12, 2411, 2760)],
        ["1 row(s) with an estimate and no reading are left out", SENT_ONLY],
    )


def test_the_log_of_the_threshold_experiment_holds_every_sample(tmp_path: Path) -> None:
    text = GATEWAY_LOG + "\n2026-01-01 00:00,0,EST,18.65,23.67,18.65,23.67,0,0,0\n"
    text += "2026-01-01 00:01,0.0007,RX,19.2,23.5,18.65,23.67,0.55,0.17,1\n"

    assert read(tmp_path, text) == ([(0, 1865, 2367), (60, 1920, 2350)], [])


def test_the_log_of_an_older_node_is_read_with_and_without_heap(tmp_path: Path) -> None:
    text = f"timestamp,{NODE_LOG}\n"
    text += "2026-01-01 00:00:34,24.33,27.59,12.04,38.13,12.295,10.543,SEND & TRAIN,137166,318640,346772\n"
    text += "2026-01-01 00:01:34,24.38,27.48,12.82,38.06,11.561,10.587,SKIP,,,\n"

    assert read(tmp_path, text) == ([(34, 2433, 2759), (94, 2438, 2748)], [])


def test_a_log_without_times_is_one_sample_a_minute_and_says_so(tmp_path: Path) -> None:
    text = f"{NODE_LOG}\n24.33,27.59,24.04,27.13,0.29,0.46,SKIP,87,318640,346772\n"
    text += "24.38,27.48,24.04,27.13,0.34,0.35,SKIP,87,318640,346772\n"

    (first, second), notes = read(tmp_path, text)

    assert second[0] - first[0] == 60
    assert notes == ["it has no times: its rows are taken as one sample a minute from 2000-01-01 on"]


def test_raw_measurements_of_the_older_installation_are_a_recording(tmp_path: Path) -> None:
    text = "Timestamp,Time_n,Temperature,Humidity\r\n2026-01-01 00:02,0.0014,18.5,25.57\r\n"

    assert read(tmp_path, text) == ([(120, 1850, 2557)], [])


def test_an_export_of_readings_is_read_by_node_and_says_what_it_lacks(tmp_path: Path) -> None:
    text = "id,actual_temp,actual_humidity,node,event_time\n1,20.5,50,7,2026-01-01 00:00:05.250000\n"

    assert read(tmp_path, text) == ([(5.25, 2050, 5000)], [SENT_ONLY])
