"""Predictors that replace the learner where only the forecasts of node and gateway matter."""

from aoii.core.forecast import HOLD, Trend


class Hold:
    """Learns nothing: the estimate is the last reading, so the node sends on delta."""

    def observe(self, temperature_c: int, humidity_c: int, steps: int, day_ms: int | None) -> None:
        pass

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        return HOLD

    def retune(self, epsilon_t_c: int, epsilon_h_c: int) -> None:
        pass


class Slope(Hold):
    """Remembers nothing; its trends differ from packet to packet and are not HOLD."""

    def trend(self, error_t_c: int, error_h_c: int) -> Trend:
        return Trend(error_t_c % 9 - 4, error_t_c % 21 - 10, error_h_c % 9 - 4, error_h_c % 21 - 10, 1)
