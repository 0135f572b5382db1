"""`python -m melnb` is the command `melnb`."""

from melnb.cli import main

if __name__ == "__main__":
    main(prog_name="melnb")
