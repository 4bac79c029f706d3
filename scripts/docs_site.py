"""Gathers the pages of the documentation site and makes its navigation.

The pages are written for readers of the repository: they link to each other and to other files by relative paths. Here
they are copied into one folder, and links to files that the site does not have are turned into links to the repository.
docs/index.md is the only list of pages: the navigation is made from it. Every module under src gets a page of the code
reference.

`python scripts/docs_site.py OUT` writes OUT/pages and OUT/mkdocs.yml, for any builder that reads MkDocs' configuration.
It fails on a page that docs/index.md does not list, neither itself nor by the README of its folder.
"""

import json
import os
import re
import shutil
import sys
import tomllib
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
FENCE = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
PICTURES = {".png", ".svg"}
CONTENTS = "docs/index.md"
KOREAN = "한국어"

# Entries: a title with its page or with the entries of a section; a bare path is the section's own page.
Nav = list["str | dict[str, str | Nav]"]


def repository() -> str:
    """Address of the repository, which has the files that the site does not have."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["urls"]["Repository"])


def places() -> dict[str, str]:
    """Every page and picture of the site, by its path in the repository: its path in the site."""
    files = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*"))]
    found = {file: file.removeprefix("docs/") for file in files if PurePosixPath(file).suffix in {".md", *PICTURES}}
    found[CONTENTS] = "contents.md"
    for path in sorted(ROOT.glob("*.md")):
        found[path.name] = f"project/{path.name.lower()}"
    found |= {"README.md": "index.md", "README.ko.md": "ko/index.md"}
    for path in sorted((ROOT / "deploy").rglob("*.md")):
        found[path.relative_to(ROOT).as_posix()] = path.relative_to(ROOT).as_posix().lower()
    return found


def relinked(text: str, file: str, found: dict[str, str], elsewhere: str) -> str:
    """The text of a page with its links changed to fit the page's place in the site.

    Args:
        text: The text in the repository.
        file: Its path there.
        found: See `places`.
        elsewhere: Address of the repository, without a slash at the end.
    """

    def moved(match: re.Match[str]) -> str:
        path, mark, anchor = match[1].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match[1]
        target = os.path.normpath(PurePosixPath(file).parent / unquote(path))
        if target in found:
            there = os.path.relpath(found[target], PurePosixPath(found[file]).parent)
        elif (ROOT / target).exists():
            there = f"{elsewhere}/{'tree' if (ROOT / target).is_dir() else 'blob'}/main/{quote(target)}"
        else:
            return match[1]  # the builder reports the broken link
        return f"{there}{mark}{anchor}"

    # A link in a code block is text, not a link.
    return "".join(part if FENCE.fullmatch(part) else LINK.sub(moved, part) for part in FENCE.split(text))


def twins() -> dict[str, tuple[str, str]]:
    """For each page that exists in both languages: name of the other language, and path of the page in it."""
    found = {}
    contents = (ROOT / CONTENTS).read_text(encoding="utf-8")
    for pair in re.findall(rf"\]\(([^)]+)\) \(\[{KOREAN}\]\(([^)]+)\)\)", contents):
        english, korean = (os.path.normpath(PurePosixPath(CONTENTS).parent / unquote(target)) for target in pair)
        found[korean] = ("English", english)
        if "#" not in english:  # with one, the Korean page covers only a part of the English one
            found[english] = (KOREAN, korean)
    return found


def title_of(file: str) -> str:
    """The first heading of a page, or the file's name."""
    heading = re.search(r"^# (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
    return heading[1] if heading else PurePosixPath(file).stem


def navigation(found: dict[str, str]) -> Nav:
    """The navigation, made from the table of contents; a folder's README becomes a section with the folder's pages.

    Raises:
        SystemExit: docs/index.md lists neither a page nor the README of its folder.
    """
    left = dict.fromkeys(file for file in found if file.endswith(".md"))

    def take(file: str, title: str) -> Nav:
        del left[file]
        if not re.fullmatch(r"docs/.+/README\.md", file):
            return [{title: found[file]}]
        beside = [other for other in left if PurePosixPath(other).parent == PurePosixPath(file).parent]
        return [{title: [found[file], *(entry for other in beside for entry in take(other, title_of(other)))]}]

    nav = [*take("README.md", "aoii"), *take(CONTENTS, "Contents")]
    del left["README.ko.md"]
    korean: Nav = [found["README.ko.md"]]
    for section in re.split(r"^## ", (ROOT / CONTENTS).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        entries: Nav = []
        for title, target in re.findall(r"\[([^]]+)\]\(([^)#\s]+)\)", body):
            file = os.path.normpath(PurePosixPath(CONTENTS).parent / unquote(target))
            if file in left:
                is_korean = title == KOREAN
                (korean if is_korean else entries).extend(take(file, title_of(file) if is_korean else _capital(title)))
        nav.append({heading: entries})
    if left:
        raise SystemExit(f"aoii: {CONTENTS} does not list {', '.join(left)}")
    return [*nav, {"Code": code_navigation()}, {KOREAN: korean}]


def modules() -> list[str]:
    """Every module of the package by its full name, packages before what is in them.

    Files in a folder without `__init__.py`, such as the migrations, are loaded by their path and are no modules.
    """
    source = ROOT / "src"
    paths = [path for path in (source / "aoii").rglob("*.py") if (path.parent / "__init__.py").exists()]
    parts = [path.relative_to(source).with_suffix("").parts for path in paths]
    named = {".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts}
    return sorted(name for name in named if not name.endswith(".__main__"))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def code_place(name: str, names: list[str]) -> str:
    """The path of a module's page in the site; for a package the index of its folder."""
    is_package = any(other.startswith(f"{name}.") for other in names)
    return f"code/{name.replace('.', '/')}{'/index' if is_package else ''}.md"


def code_navigation() -> Nav:
    """The navigation of the modules: a section for each package."""
    names = modules()
    sections: dict[str, Nav] = {}
    for name in names:
        above, _, short = name.rpartition(".")
        place = code_place(name, names)
        if place.endswith("/index.md"):
            sections[name] = [place]
        if above:
            sections[above].append({short: sections.get(name, place)})
    return sections["aoii"]


def gather(out: Path) -> None:
    """Write the pages and the configuration into `out`, which is emptied before."""
    shutil.rmtree(out, ignore_errors=True)
    pages = out / "pages"
    found = places()
    elsewhere = repository()
    other_language = twins()
    for file, place in found.items():
        written = pages / place
        written.parent.mkdir(parents=True, exist_ok=True)
        if written.suffix != ".md":
            shutil.copy(ROOT / file, written)
            continue
        text = (ROOT / file).read_text(encoding="utf-8")
        if file in other_language:
            language, other = other_language[file]
            target = quote(os.path.relpath(other, PurePosixPath(file).parent), safe="/#")
            text = re.sub(r"^(# .+)$", rf"\1\n\n[{language}]({target})", text, count=1, flags=re.MULTILINE)
        written.write_text(relinked(text, file, found, elsewhere), encoding="utf-8")
    names = modules()
    for name in names:
        written = pages / code_place(name, names)
        written.parent.mkdir(parents=True, exist_ok=True)
        written.write_text(f"# {name}\n\n::: {name}\n", encoding="utf-8")
    base = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    # JSON is YAML: no library is needed to write it.
    made = {"docs_dir": "pages", "site_dir": "site", "nav": navigation(found)}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}\n" for key, value in made.items()]
    (out / "mkdocs.yml").write_text(f"{base}\n{''.join(lines)}", encoding="utf-8")


if __name__ == "__main__":
    gather(Path(sys.argv[1]))
