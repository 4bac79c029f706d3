"""Changes a file of settings line by line: what is not changed stays as it is, to the byte. Pure.

Comments, unknown keys, the order of lines and their ends are the operator's.
"""

from collections.abc import Mapping

from .env_file import BLANKS, LINE


def writable(value: str) -> bool:
    """Whether a file of settings can hold this value: one line, without blanks at its ends."""
    return value == value.strip(BLANKS) and not {"\n", "\r", "\0"} & set(value)


def edited(text: str, values: Mapping[str, str | None]) -> str:
    """The text with these values; None removes a setting.

    A setting keeps its line. A new one comes after the line that has it as a comment, as in `.env.example`, else at the
    end.

    Args:
        text: Content of the file.
        values: By name; each as `writable` has it.
    """
    lines = [f"{line}\n" for line in text.split("\n")]
    lines[-1] = lines[-1].removesuffix("\n")
    if not lines[-1]:
        lines.pop()
    end = "\r\n" if "\r\n" in text else "\n"
    left = dict(values)
    made: list[str] = []
    for line in lines:
        name = name_of(line) or ""
        if name not in values:
            made.append(line)
        elif (value := values[name]) is not None and name in left:
            made.append(_with_value(line, value))
        left.pop(name, None)
    for name, value in left.items():
        if value is not None:
            place = _place(made, name)
            if place == len(made) and made and not made[-1].endswith("\n"):
                made[-1] += end
            made.insert(place, f"{name}={value}{end}")
    return "".join(made)


def name_of(line: str) -> str | None:
    """The name that a line sets; None if it is no setting."""
    match = LINE.fullmatch(line.removeprefix("\ufeff").rstrip("\r\n").strip(BLANKS))
    return match[1] if match else None


def _with_value(line: str, value: str) -> str:
    """The line with another value; if it has this value already, as it is."""
    content = line.rstrip("\r\n")
    before, _, now = content.partition("=")
    return line if now.strip(BLANKS) == value else f"{before.rstrip(BLANKS)}={value}{line[len(content) :]}"


def _place(lines: list[str], name: str) -> int:
    """Where a new setting goes."""
    example = f"#{name}="
    return next((place + 1 for place, line in enumerate(lines) if line.startswith(example)), len(lines))
