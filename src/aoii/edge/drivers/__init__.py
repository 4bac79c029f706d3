"""The hardware under a node: drivers of a board's parts, and their twins on a host."""
