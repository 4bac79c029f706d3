"""The generated files of the settings: a copy of `.env.example` changes nothing, and every default is there."""

from pathlib import Path

from aoii import settings
from aoii.settings import env_example, reference_page


def test_a_copy_of_the_example_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "copy.env").write_text(env_example())

    assert settings.load({}, tmp_path / "copy.env") == settings.Settings()


def test_the_example_has_every_default() -> None:
    lines = env_example().splitlines()

    assert all(f"#{name}={one.default or ''}" in lines for name, one in settings.BY_NAME.items())


def test_the_page_tells_an_unset_default_from_an_empty_one_and_where_files_are() -> None:
    rows = {line.split("`")[1]: line for line in reference_page().splitlines() if line.startswith("| `")}

    assert rows.keys() == settings.BY_NAME.keys()
    assert "| unset |" in rows["MYSQL_HOST"]
    assert "| empty |" in rows["MYSQL_PASSWORD"]
    assert "| `1883` |" in rows["MQTT_PORT"]
    assert rows["NODE_KEYS_FILE"].endswith("Default: AOII_DATA_DIR/node_keys. |")
