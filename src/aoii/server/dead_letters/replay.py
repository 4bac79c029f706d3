"""Dead letters once more through the ordinary insert, by the server itself or by a person (`aoii dlq replay`).

What is stored, or was already, leaves the dead letters; what is not stays, with the reason of this time and one attempt
more. The unique key makes a second replay harmless, and the digest shows when it is another reading. A letter that
fails its checksum is not inserted: it is not what was parked.
"""

from collections.abc import Sequence
from typing import Literal

from aoii.broker.messages import Reading
from aoii.server import ingest
from aoii.server.db import Database
from aoii.server.dead_letters.store import DeadLetter, Letters, Reason
from aoii.server.ingest import Fate
from aoii.server.insertion import insert

Result = Literal["stored", "duplicate", "mismatch", "bad_row", "malformed", "corrupt"]

MISMATCH = "the same identity is stored with another content"
CORRUPT = "the letter fails its checksum: it is not what was parked"
NO_READING = "no reading, and only readings are stored"


def replay(database: Database, store: Letters, letters: Sequence[DeadLetter]) -> list[Result]:
    """Put letters through the insert; what became of each, in their order.

    Raises:
        DatabaseAway: The database takes nothing now; every letter is where it was.
        WorldError: The dead letters cannot be written; what was stored is a duplicate next time.
    """
    results: list[Result] = ["corrupt"] * len(letters)
    details = dict.fromkeys(range(len(letters)), CORRUPT)
    readings: dict[int, Reading] = {}
    for index, letter in enumerate(letters):
        if not letter.is_sound:
            continue
        content = ingest.read(letter.payload)
        if isinstance(content, Reading):
            readings[index] = content
        else:
            results[index] = "malformed"
            details[index] = str(content) if isinstance(content, ingest.Malformed) else NO_READING
    fates: list[Fate | None] = [None] * len(readings)
    faults: dict[int, str] = {}
    insert(database, list(readings.values()), fates, faults)
    for number, (index, fate) in enumerate(zip(readings, fates, strict=True)):
        if fate is None or fate == "parked":
            raise AssertionError("an insert that returns gives every row a fate of its own")
        results[index] = fate
        details[index] = faults.get(number, MISMATCH)
    gone: list[int] = []
    stay: list[tuple[int, Reason, str]] = []
    for index, letter in enumerate(letters):
        match results[index]:
            case "stored" | "duplicate":
                gone.append(letter.id)
            case reason:
                stay.append((letter.id, reason, details[index]))
    store.remove(gone)
    store.change_reasons(stay)
    return results
