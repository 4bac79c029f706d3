"""What `aoii doctor` finds: one thing that was checked, how it is, and what to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was checked.

    Attributes:
        subject: The hop or the part of the machine, in the words of the alerts' label `hop`.
        state: How it is.
        remedy: What to do; None if it is well.
        is_checked: False for what cannot be seen from here, or can only be noted: neither well nor a fault.
        cause: A word for what is wrong, by which `aoii setup` finds the text in another language; empty: none has one.
        about: What it is about, for that text: an address, a port, a user, or the message of a library.
    """

    subject: str
    state: str
    remedy: str | None = None
    is_checked: bool = True
    cause: str = ""
    about: str = ""
