"""Numbers in the texts of peers: exactly the numerals of ASCII, where Python's own `float` and `int` take more.

`2_1.50`, `٢١`, `nan`, `infinity` and blanks are numbers to Python, and damage on a wire. Pure.
"""

DIGITS = frozenset("0123456789")
DECIMALS = DIGITS | frozenset("+-.eE")


def decimal(text: str) -> float:
    """A decimal number such as `21.50`, `-3`, `+24.80` or `1.248e1`; infinite if it is too large for a float.

    Raises:
        ValueError: It is anything else.
    """
    if not DECIMALS.issuperset(text):
        raise ValueError(f"{text!r} is not a decimal number")
    return float(text)


def whole(text: str) -> int:
    """A whole number of digits, without a sign.

    Raises:
        ValueError: It is anything else, or has more digits than Python converts.
    """
    if not DIGITS.issuperset(text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)
