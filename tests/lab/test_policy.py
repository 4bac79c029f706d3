"""What a policy is: the clock of the periodic ones."""

from aoii.lab.policies import BY_NAME


def due(name: str, samples: int, packets: int) -> list[int]:
    return [index for index in range(samples) if BY_NAME[name].is_due(index, samples, packets)]


def test_the_clock_asks_for_every_sample_for_the_given_number_of_packets_or_for_none() -> None:
    assert due("periodic", 7, 3) == list(range(7))
    assert due("periodic_equal", 9, 3) == [0, 3, 6]
    assert len(due("periodic_equal", 1440, 131)) == 131
    assert due("trend", 9, 3) == []
