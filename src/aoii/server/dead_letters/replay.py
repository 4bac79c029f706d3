"""Inserts dead letters again, for the server itself or for a person (`aoii dlq replay`).

A letter is removed if the database stores its reading, or has stored it before. Any other letter stays, with a new
reason and one more attempt. The unique key makes a second replay harmless, and the digest shows when another reading
has the same identity. A letter that fails its checksum is not inserted.
"""

from collections.abc import Sequence

from aoii.broker.messages import Reading
from aoii.server import ingest
from aoii.server.db import Database
from aoii.server.dead_letters.letters import DeadLetter, Letters
from aoii.server.insertion import Delivery, insert

CORRUPT = Delivery("corrupt", "the letter fails its checksum: it is not what was added")
NO_READING = Delivery("malformed", "not a reading; only readings are stored")


def replay(database: Database, store: Letters, letters: Sequence[DeadLetter]) -> list[Delivery]:
    """Insert the readings of letters; return what became of each letter, in their order.

    Raises:
        DatabaseAway: The database takes nothing now; no letter has changed.
        UnavailableError: The dead letters cannot be written; readings that were stored will be duplicates next time.
    """
    contents = [_content(letter) for letter in letters]
    readings = [content for content in contents if isinstance(content, Reading)]
    inserted = insert(database, readings)
    if inserted.away is not None:
        raise inserted.away
    of_readings = iter(inserted.deliveries)
    deliveries: list[Delivery] = []
    for content in contents:
        delivery = next(of_readings) if isinstance(content, Reading) else content
        if delivery is None:
            raise AssertionError("without `away` every row has a delivery")
        deliveries.append(delivery)
    pairs = list(zip(letters, deliveries, strict=True))
    store.remove([letter.id for letter, delivery in pairs if delivery.is_done])
    store.change_reasons(
        [(letter.id, delivery.status, delivery.detail) for letter, delivery in pairs if not delivery.is_done]
    )
    return deliveries


def _content(letter: DeadLetter) -> Reading | Delivery:
    """The reading of a letter, or why it has none."""
    if not letter.is_sound:
        return CORRUPT
    content = ingest.decode_payload(letter.payload)
    if isinstance(content, Reading):
        return content
    return Delivery("malformed", str(content)) if isinstance(content, ingest.Malformed) else NO_READING
