"""What node and host share: pure, and the same source on MicroPython and CPython."""
