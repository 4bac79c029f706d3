"""The commands of a guide are found, and those of both languages are the same."""

import re
from pathlib import Path

import pytest

from deploy.guide import Step, steps

DOCS = Path(__file__).parents[2] / "docs"

PAGE = """# A guide

```sh
not of the walk
```

## 1. First

Text, then:

```sh
one
two
```

```ini
A=1
## 9. not a heading
```

- in a list:

  ```sh
  three <<'END'
    indented
  END
  ```

## Afterwards

```sh
not of the walk either
```

### In another case

```sh
not always afterwards
```
"""


def test_the_commands_of_numbered_sections_are_found_in_order(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")

    assert steps(page) == [
        Step("1. First", 12, "one\ntwo\n"),
        Step("1. First", 24, "three <<'END'\n  indented\nEND\n"),
    ]


def test_the_commands_of_one_section_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE, encoding="utf-8")

    assert [step.commands for step in steps(page, "Afterwards")] == ["not of the walk either\n"]
    assert [step.commands for step in steps(page, "In another case")] == ["not always afterwards\n"]


@pytest.mark.parametrize(("english", "korean"), [("howto/deploy-with-systemd.md", "ko/systemd로_배포하기.md")])
def test_both_languages_of_a_guide_have_the_same_commands(english: str, korean: str) -> None:
    ours, theirs = ([step.commands for step in steps(DOCS / page, "")] for page in (english, korean))

    assert len(ours) > 5
    assert ours == theirs


def test_the_guide_takes_for_granted_nothing_that_an_empty_debian_lacks() -> None:
    """`make systemd-guide` follows the guide on one; this is what failed there first: no git, no /etc/sysusers.d."""
    commands = "".join(step.commands for step in steps(DOCS / "howto/deploy-with-systemd.md"))

    before, _, after = commands.partition("git clone")
    into_folders = re.findall(r"^.* /etc/[a-z]+\.d/\S+$", commands, re.MULTILINE)

    assert after
    assert re.search(r"apt-get install .*\bgit\b", before)
    assert into_folders
    assert all(command.startswith("sudo install -D ") for command in into_folders)
