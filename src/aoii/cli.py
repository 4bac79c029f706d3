"""`python -m aoii.cli`: the command `aoii` where it is not installed."""

from aoii.commands.main import main

if __name__ == "__main__":
    raise SystemExit(main())
