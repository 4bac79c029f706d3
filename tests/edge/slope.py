"""What stands in for the learner where only the forecasts of node and gateway are in question."""

from aoii.core.forecast import Trend


class Slope:
    """A predictor without a memory, whose trends differ from packet to packet and are not HOLD."""

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        pass

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        return Trend(error_t_c % 9 - 4, error_t_c % 21 - 10, error_h_c % 9 - 4, error_h_c % 21 - 10, 1)

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        pass
