"""Drivers of a board's parts, and the serial ports of simulated nodes on a host."""
