"""Writes the generated files: `.env.example` and the reference pages, among them those of settings and metrics.

Run `python -m aoii.commands.reference` in the project's folder; a test fails while one of them is not up to date.
"""

from pathlib import Path

from aoii import settings
from aoii.commands import main, state_diagrams
from aoii.runtime import metrics


def pages() -> dict[Path, str]:
    """Every generated file with its text."""
    return {
        Path(".env.example"): settings.env_example(),
        Path("docs/reference/settings.md"): settings.reference_page(),
        Path("docs/reference/cli.md"): main.reference_page(),
        Path("docs/reference/metrics.md"): metrics.reference_page(),
        Path("docs/reference/state-machines.md"): state_diagrams.reference_page(),
    }


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
