"""Reports and questions that no gateway and no server sent: what somebody who may publish anything could try."""

import random
from collections.abc import Iterable, Iterator

from aoii.broker.repair_messages import (
    KINDS,
    NUMBER_LIMIT,
    Ask,
    Finding,
    Holding,
    Hole,
    Report,
    ask_topic,
    encode_ask,
    encode_report,
    holds_topic,
)
from faults.radio import EPOCH

REAL, INTRUDER = "first", "intruder"


def forgeries(rng: random.Random, nodes: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """Topics and payloads, some of them no messages at all.

    Nobody without the right to publish on a real gateway's topic can say what it found, and here everybody has all
    rights: so in its name only what its own reports contradict is forged.
    """
    names = [str(node) for node in nodes]
    numbers = [Holding(name, EPOCH, 1, 500, 0, _findings(rng)) for name in names]
    strangers = [Holding(f"stranger{rng.randrange(1000)}", 1, 1, rng.randrange(1, NUMBER_LIMIT), 0)]
    file = f"{rng.getrandbits(64):016x}"
    reports = [Report(file, rng.randrange(10**6), rng.randrange(10**6), tuple(numbers + strangers))]
    holes = tuple(
        Hole(rng.choice(names), EPOCH, first, first + rng.randrange(100), rng.random() < 0.5)
        for first in (rng.randrange(1, 1000) for _ in range(50))
    )
    ask = Ask(rng.randrange(10**6), rng.random() < 0.5, holes)
    yield from ((holds_topic(INTRUDER), payload) for report in reports for payload in encode_report(report))
    yield from ((ask_topic(REAL), payload) for payload in encode_ask(ask))
    for topic in (holds_topic(REAL), holds_topic(INTRUDER), ask_topic(REAL)):
        yield topic, rng.randbytes(rng.randrange(1, 200))
        yield topic, b"{" * 2000
        yield topic, b'{"v":1,"file":"0000000000000000","seq":-1,"asked":0,"nodes":[]}'


def _findings(rng: random.Random) -> tuple[Finding, ...]:
    kind = rng.choice(("void", *KINDS))
    return (Finding(1, 500, kind),)
