"""The commands of a guide: what a page tells its reader to type, in its order, so that the page itself can be followed.

Only numbered sections (`## 3. The broker`) are the walk that a page describes; its other sections are about cases that
not every reader has. A block of the language `sh` there is typed as it stands, and nothing else is. A block belongs to
the nearest heading above it, of whatever level.
"""

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"^( *)```(\w*)$")
HEADING = re.compile(r"^##+ (.*)$")


@dataclass(frozen=True)
class Step:
    """A block of commands.

    Attributes:
        section: The heading above it, as `3. The broker`.
        line: Number of its first command in the page, from 1.
        commands: Its text, as a shell gets it.
    """

    section: str
    line: int
    commands: str


def steps(page: Path, sections: str = r"\d+\. ") -> list[Step]:
    """Every block of commands, in order, in the sections of a page whose headings begin with the pattern."""
    found: list[Step] = []
    section, language, indent = "", None, ""
    block: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if language is not None:
            if line == f"{indent}```":
                if language == "sh" and re.match(sections, section):
                    found.append(Step(section, number - len(block), "".join(block)))
                language = None
            else:
                block.append(line.removeprefix(indent) + "\n")
        elif fence := FENCE.match(line):
            indent, language, block = fence[1], fence[2], []
        elif heading := HEADING.match(line):
            section = heading[1]
    return found
