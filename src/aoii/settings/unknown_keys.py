"""Keys of a file of settings that are no settings: which was meant, unless another program uses the key. Pure."""

import difflib
import re
from collections.abc import Collection

IS_ANOTHERS = re.compile(
    r"(COMPOSE|DOCKER|GF|GRAFANA|MARIADB|PROMETHEUS|ALERTMANAGER|MOSQUITTO|PYTHON|LC)_\w+|TZ|LANG|PATH|P?UID|P?GID"
    r"|MYSQL_(ROOT_PASSWORD|ROOT_HOST|ALLOW_EMPTY_PASSWORD|RANDOM_ROOT_PASSWORD|ONETIME_PASSWORD)\w*|MYSQL_INITDB_\w+"
    r"|AOII_(UID|GID|GRAFANA_PASSWORD)|DIALOUT_GID"
)
"""Keys of Compose, of the images that stand beside ours, and of deploy/compose, which may be in the same file."""

RENAMED = {
    # of the older installation
    "EDGE_SERIAL_PORT": "EDGE_LOG_PORT",
    "EDGE_CSV_PATH": "EDGE_LOG_CSV_FILE",
    # what others call the same
    "MQTT_HOST": "MQTT_BROKER",
    "MQTT_USER": "MQTT_USERNAME",
    "MQTT_PASS": "MQTT_PASSWORD",
    "MYSQL_DB": "MYSQL_DATABASE",
    "MYSQL_PASS": "MYSQL_PASSWORD",
}
"""Keys that `aoii config migrate` renames, and the settings that they are now."""
REMOVED = {"EDGE_DB": "`aoii edgelog` stores the log in the table edge_log of MYSQL_DATABASE"}
"""Keys of the older installation that nothing reads, and why."""
INSTEAD = {old: f"use {new}" for old, new in RENAMED.items()} | {
    old: f"remove it: {why}" for old, why in REMOVED.items()
}
ALIKE = 0.8  # similarity from which a key is taken for a misspelt setting: EDGE_PORT is one, SMTP_PORT is not
NEAR = 0.6  # from which the nearest setting is named


def remedy(key: str, known: Collection[str]) -> tuple[str, bool] | None:
    """What to do about a key that is not in `known`, and whether a setting was surely meant; None: nothing.

    Args:
        key: The key, in any case.
        known: Names of all settings.
    """
    name = key.upper()
    if IS_ANOTHERS.fullmatch(name):
        return None
    if name in INSTEAD:
        return INSTEAD[name], True
    near = [name] if name in known else difflib.get_close_matches(name, known, n=1, cutoff=NEAR)
    if not near:
        return "remove it, unless another program reads it", False
    if difflib.SequenceMatcher(None, near[0], name).ratio() >= ALIKE:
        return f"did you mean {near[0]}?", True
    return f"remove it, unless another program reads it; the nearest setting is {near[0]}", False
