"""Nodes with the firmware of the older installation: their lines, their network, its weights."""
