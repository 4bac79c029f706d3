"""MQTT: the messages between gateway and server, the client that carries them, and a broker for the demo."""
