"""The sensor node: what it decides, and the simulated world around it."""
