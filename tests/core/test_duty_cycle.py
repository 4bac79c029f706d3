"""No hour, wherever it begins, holds more airtime than the duty cycle allows."""

from hypothesis import given
from hypothesis import strategies as st

from aoii.core.duty_cycle import DutyCycleBudget


@given(st.integers(1, 1000), st.lists(st.tuples(st.integers(0, 600_000), st.integers(1, 2000)), max_size=80))
def test_no_hour_holds_more_than_its_allowance(duty_permille: int, packets: list[tuple[int, int]]) -> None:
    budget = DutyCycleBudget(duty_permille)
    now_ms = 0
    sent = []
    for pause_ms, airtime_ms in packets:
        now_ms += pause_ms
        if 1000 * airtime_ms <= 1_800_000 * duty_permille:
            now_ms = budget.ready_ms(airtime_ms, now_ms)
            budget.spend(airtime_ms, now_ms)
            sent.append((now_ms, airtime_ms))

    for start_ms, _ in sent:
        used_ms = sum(airtime_ms for at_ms, airtime_ms in sent if start_ms <= at_ms < start_ms + 3_600_000)
        assert used_ms <= 3600 * duty_permille
