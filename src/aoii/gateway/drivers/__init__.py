"""The gateway's hands: the serial port and the file that holds the outbox."""
