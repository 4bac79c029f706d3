"""Rows of the nodes' log in memory."""
# ruff: noqa: DTZ001 - the times of the table have no zone

from dataclasses import replace
from datetime import datetime

from aoii.runtime import metrics
from aoii.server.edge_log_buffer import EdgeLogBuffer
from aoii.server.edge_log_line import decode_line

NOW = datetime(2026, 1, 2, 3, 4, 5)
OLD = "21.50,40.00,21.00,41.25,0.50,1.25,SEND & TRAIN,512,100000,200000"


def counted(outcome: str) -> float:
    return metrics.value(metrics.LOG_LINES, outcome=outcome)


def test_a_full_buffer_loses_the_oldest_and_counts_them() -> None:
    row = decode_line(OLD, NOW)
    assert row is not None
    lost = counted("lost")
    buffer = EdgeLogBuffer(limit=3)

    for number in range(5):
        buffer.put(replace(row, node=str(number)))
    taken = buffer.take(2)
    buffer.put(replace(row, node="5"))
    buffer.put(replace(row, node="6"))
    buffer.put_back(taken)

    assert [kept.node for kept in buffer.take(10)] == ["4", "5", "6"]
    assert counted("lost") - lost == 4
