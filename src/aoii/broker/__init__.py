"""Our side of MQTT: what gateway and server say to each other, and the one client that carries it."""
