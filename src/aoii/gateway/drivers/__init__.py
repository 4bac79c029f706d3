"""Drivers of the gateway: the serial port, and the file that holds the outbox."""
