"""Faults that settings raise, and files that hold secrets."""

from pathlib import Path

import pytest

from aoii import settings
from aoii.settings.faults import SettingsError


def faults(values: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        settings.load(values, None)
    return tuple(str(fault) for fault in caught.value.faults)


def private(name: str, text: str = "x", mode: int = 0o600) -> str:
    Path(name).write_text(text)
    Path(name).chmod(mode)
    return name
