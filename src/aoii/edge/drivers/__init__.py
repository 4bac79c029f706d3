"""What a node stands on: the board's parts, or their simulated twins on a host."""
