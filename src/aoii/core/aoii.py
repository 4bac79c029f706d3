"""Age of Incorrect Information, defined once: how long the gateway's forecast of a node has been wrong.

AoII(t) = (t - U(t)) * 1{wrong at t}, U(t) the last time that the forecast was correct (Maatouk, Kriouile, Assaad,
Ephremides, IEEE/ACM ToN 2020, arXiv 1907.06604), at the node's sampling instants. Lab and demo use this meter; the
gateway's metrics are a lower bound of the same quantity (`gateway/node_metrics.py`). What is wrong is defined by
`trigger.is_wrong`.
"""


class AoiiMeter:
    """Measures the AoII of one node; its memory grows with the number of distinct ages, not of instants.

    Attributes:
        instants: Number of sampling instants.
        wrong: Number of instants at which the forecast was wrong.
        wrong_s: Seconds for which it was wrong: each wrong instant stands for its sampling interval.
        aoii_s: The age at the last instant, seconds; 0 when the forecast was correct.
    """

    def __init__(self) -> None:
        self.instants = 0
        self.wrong = 0
        self.wrong_s = 0
        self.aoii_s = 0
        self._ages: dict[int, int] = {}  # age in seconds: number of instants

    def observe(self, wrong: bool, interval_s: int) -> int:
        """Count one sampling instant, `interval_s` seconds after the last one; return the age now, seconds."""
        self.instants += 1
        if wrong:
            self.wrong += 1
            self.wrong_s += interval_s
            self.aoii_s += interval_s
        else:
            self.aoii_s = 0
        self._ages[self.aoii_s] = self._ages.get(self.aoii_s, 0) + 1
        return self.aoii_s

    def merge(self, other: "AoiiMeter") -> None:
        """Add the instants of another meter; `aoii_s` becomes the larger of the two."""
        self.instants += other.instants
        self.wrong += other.wrong
        self.wrong_s += other.wrong_s
        self.aoii_s = max(self.aoii_s, other.aoii_s)
        for age_s, count in other._ages.items():
            self._ages[age_s] = self._ages.get(age_s, 0) + count

    def mean_s(self) -> float:
        """Mean age over the instants, seconds; 0 before the first."""
        if not self.instants:
            return 0.0
        return sum(age_s * count for age_s, count in self._ages.items()) / self.instants

    def p99_s(self) -> int:
        """The age that 99 % of the instants do not exceed, seconds, by nearest rank; 0 before the first."""
        rank = -(-self.instants * 99 // 100)
        for age_s in sorted(self._ages):
            rank -= self._ages[age_s]
            if rank <= 0:
                return age_s
        return 0
