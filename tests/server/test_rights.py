"""Rights as MariaDB and MySQL say them: who may make our tables in a schema."""

import pytest

from aoii.server.rights import NEEDED, granted, may_make_tables
from aoii.settings import Database
from server.samples import mysql_at
from servers import MariaDB


@pytest.mark.parametrize(
    ("line", "rights"),
    [
        ("GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", NEEDED),
        ("GRANT ALL PRIVILEGES ON `aoii`.* TO `a`@`%`", NEEDED),
        ("GRANT SELECT, INSERT ON `aoii`.* TO `a`@`%`", {"SELECT", "INSERT"}),
        (r"GRANT CREATE ON `aoi\_%`.* TO `a`@`%`", set()),
        ("GRANT CREATE ON `ao%`.* TO `a`@`%`", {"CREATE"}),
        ("GRANT CREATE ON `aoi_`.* TO `a`@`%`", {"CREATE"}),
        ("GRANT CREATE ON `other`.* TO `a`@`%`", set()),
        ("GRANT INSERT ON `aoii`.`readings` TO `a`@`%`", set()),
        ("GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*00'", {"USAGE"}),
        ("GRANT `role` TO `a`@`%`", set()),
        ("", set()),
    ],
)
def test_a_line_gives_rights_in_the_schemas_that_it_covers(line: str, rights: set[str]) -> None:
    assert granted([line], "aoii") == rights


def test_the_server_is_asked_and_nothing_is_made(mariadb: MariaDB) -> None:
    schema = mariadb.new_schema()
    settings: Database = mysql_at(mariadb, schema)

    assert may_make_tables(settings)
    assert mariadb.execute("SHOW TABLES", database=schema) == []
