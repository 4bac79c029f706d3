"""Simulated nodes, the radio between them and the gateway, and the recordings that they replay."""
