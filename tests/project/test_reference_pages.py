"""The generated pages: a copy of `.env.example` changes nothing; every default and command is there, no old name is."""

from pathlib import Path

import reference_pages
from aoii import settings


def test_a_copy_of_the_example_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "copy.env").write_text(reference_pages.env_example())

    assert settings.load({}, tmp_path / "copy.env") == settings.Settings()


def test_the_example_has_every_default() -> None:
    lines = reference_pages.env_example().splitlines()

    assert all(f"#{name}={one.default or ''}" in lines for name, one in settings.BY_NAME.items())


def test_the_page_tells_an_unset_default_from_an_empty_one_and_where_files_are() -> None:
    lines = reference_pages.settings_page().splitlines()
    rows = {line.split("`")[1]: line for line in lines if line.startswith("| `")}

    assert rows.keys() == settings.BY_NAME.keys()
    assert "| unset |" in rows["MYSQL_HOST"]
    assert "| empty |" in rows["MYSQL_PASSWORD"]
    assert "| `1883` |" in rows["MQTT_PORT"]
    assert rows["NODE_KEYS_FILE"].endswith("Default: AOII_DATA_DIR/node_keys. |")


def test_every_command_explains_itself() -> None:
    page = reference_pages.commands_page()

    for command in ("demo", "edge", "gateway", "server", "csv", "edgelog", "web", "export", "doctor", "lab"):
        assert f"### aoii {command}" in page


def test_an_old_name_of_a_command_is_on_no_page() -> None:
    page = reference_pages.commands_page()

    assert "aoii node finish-rotation" in page
    assert "aoii certs ca" in page
    assert "settle" not in page
    assert "aoii certs authority" not in page


def test_each_generated_file_has_one_text() -> None:
    assert reference_pages.pages() == reference_pages.pages()
