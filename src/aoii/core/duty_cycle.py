"""The duty-cycle budget: how much airtime a sender may still use in this hour.

Half of an hour's allowance may be used at once; the other half is added evenly over the hour. So no hour, wherever it
begins, holds more than the allowance. Source of the limit: ETSI EN 300 220.
"""

from .packed_fields import Packed


class DutyCycleBudget(Packed):
    """Airtime that may still be used.

    Args:
        duty_permille: Share of the air that the sender may use in any hour, 1..1000.
    """

    NAMES = "_level_us _at_ms"
    FORM = "<qq"

    def __init__(self, duty_permille: int) -> None:
        self._limit_us = 1_800_000 * duty_permille  # half of 3,600,000 ms * permille, in microseconds
        self._level_us = self._limit_us
        self._at_ms = 0
        self._duty_permille = duty_permille

    def ready_ms(self, airtime_ms: int, now_ms: int) -> int:
        """When a packet of this airtime may be sent: `now_ms` or later."""
        missing_us = 1000 * airtime_ms - self._refilled_us(now_ms)
        if missing_us <= 0:
            return now_ms
        return now_ms + -(-2 * missing_us // self._duty_permille)  # rounded up

    def spend(self, airtime_ms: int, now_ms: int) -> None:
        """Charge a packet of this airtime, sent at `now_ms`."""
        self._level_us = self._refilled_us(now_ms) - 1000 * airtime_ms
        self._at_ms = now_ms

    def _refilled_us(self, now_ms: int) -> int:
        """The budget at `now_ms`, microseconds; a permille of a millisecond is a microsecond."""
        return min(self._limit_us, self._level_us + (now_ms - self._at_ms) * self._duty_permille // 2)
