"""The sensor node, the receiver, and what they run on."""
