"""The kinds of files that are read as recordings, told apart by their columns."""

import pytest

from aoii.simulation.recording_kinds import kind_of

NODE_LOG = "actual_t,actual_h,pred_t,pred_h,error_t,error_h,status,inference_time_us,free_heap,total_heap"
EXPORT = "id,created_at,actual_temp,actual_humidity,gateway,node,epoch,counter,kind,event_time"


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        ("timestamp,temperature,humidity", "a recording"),
        ("timestamp,time_n,temperature,humidity", "a recording"),  # raw_24h_dataset.csv
        ("timestamp,time_n,event,actual_t,actual_h,pred_t,pred_h,error_t,error_h,total_tx", "the log of a gateway"),
        (f"timestamp,{NODE_LOG}", "the log of a node"),
        (NODE_LOG, "the log of a node without times"),
        (EXPORT, "an export of readings"),
        ("timestamp,actual_t", None),
        ("", None),
    ],
)
def test_a_file_is_known_by_its_columns(columns: str, name: str | None) -> None:
    kind = kind_of(columns.split(","))

    assert (kind.name if kind else None) == name
