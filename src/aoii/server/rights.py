"""Whether a user of MySQL or MariaDB may make our tables, as the server says: nothing is tried, so nothing is left."""

import contextlib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

from aoii.server.connection import open_pool
from aoii.settings import Database

GRANT = re.compile(r"GRANT (.+?) ON (?:TABLE )?(\S+) TO ")
NEEDED = {"SELECT", "INSERT", "UPDATE", "CREATE", "ALTER", "INDEX"}


def may_make_tables(settings: Database) -> bool:
    """Whether the user may make the tables in its schema.

    Raises:
        DatabaseAway: The database cannot be reached.
        InputError: A TLS file is missing or not valid.
    """
    with contextlib.closing(open_pool(settings, create=False)) as pool, pool.transaction() as connection:
        rows = [str(row[0]) for row in connection.exec_driver_sql("SHOW GRANTS")]
    return granted(rows, settings.name) >= NEEDED


def granted(grants: Iterable[str], schema: str) -> set[str]:
    """The rights in the whole schema that lines of SHOW GRANTS give."""
    found: set[str] = set()
    for line in grants:
        match = GRANT.match(line)
        if match and _covers(match[2], schema):
            words = {word.strip() for word in match[1].split(",")}
            found |= NEEDED if words & {"ALL", "ALL PRIVILEGES"} else words
    return found


def _covers(place: str, schema: str) -> bool:
    """Whether a right at this place, such as `aoii`.*, is one in the schema; `%` and `_` are wildcards there."""
    database, dot, table = place.replace("`", "").rpartition(".")
    if not dot or table != "*":
        return False
    pattern = re.sub(r"\\(.)|([%_])|([*?\[])", _wildcard, database)
    return database == "*" or fnmatchcase(schema, pattern)


def _wildcard(match: re.Match[str]) -> str:
    if match[1]:
        return match[1]
    return {"%": "*", "_": "?"}.get(match[2] or "", f"[{match[3]}]")
