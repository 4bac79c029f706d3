"""The command line: one file for each command; nothing imports these but each other."""
