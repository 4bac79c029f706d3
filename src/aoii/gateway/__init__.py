"""The gateway station: what nodes say on serial ports in, MQTT out, and nothing accepted is lost in between."""
