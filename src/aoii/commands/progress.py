"""The progress of a long work, on a terminal only."""

import sys


class Progress:
    """Shows on a terminal how much of a long work is done; the total is not known, so there is no bar.

    Args:
        what: What is counted, such as `rows deleted`.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._done = 0

    def add(self, count: int) -> None:
        """Count and show more of it."""
        self._done += count
        if sys.stderr.isatty():
            print(f"\r{self._done:,} {self._what}", end="", file=sys.stderr, flush=True)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        """Leave an empty line for what follows."""
        if self._done and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
