"""The gateway station: accepts readings from serial ports, keeps them on disk, and publishes them over MQTT."""
