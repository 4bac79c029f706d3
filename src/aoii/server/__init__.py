"""The server station: MQTT in, SQL out, commit acknowledgement back; also the CSV view and the reader of USB logs."""
