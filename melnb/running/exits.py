"""Exit codes: what a command tells a shell, in one table, of which `docs/exit-codes.md` is made."""

from __future__ import annotations

from typing import NamedTuple

DONE = 0
FAILED = 1  # or there is something to look at
MISUSED = 2  # click's own, of words that are no command, option or value
UNREAD = 3
STOPPED = 130  # as a shell tells that Ctrl-C ended a program: 128 + 2
CHECK_FAILS = 2


class Exit(NamedTuple):
    """One meaning of a code.

    Attributes:
        code: Of the process.
        command: The verb that gives it this meaning; empty: every one.
        meaning: In words.
    """

    code: int
    command: str
    meaning: str


EXITS = (
    Exit(DONE, "", "It did what was asked, or it was done already."),
    Exit(FAILED, "", "It failed; `Error:` and a sentence say at what, and what to do."),
    Exit(MISUSED, "", "The command line is not understood, and nothing was begun; `Usage:` says "
         "how it is used."),
    Exit(STOPPED, "", "Ctrl-C, or a scheduler's SIGTERM where notebooks run: the same command goes "
         "on with what is not finished."),
    Exit(FAILED, "pipeline", "A notebook failed, or was not begun because one before it failed; "
         "with `--dry-run`: one would fail."),
    Exit(FAILED, "doctor", "Something ails the shards; with `--share`: something could tell a "
         "person."),
    Exit(FAILED, "check", "Something to review (REVIEW), and nothing worse."),
    Exit(CHECK_FAILS, "check", "A check fails (FAIL): a number measured on this is not to be "
         "believed."),
    Exit(UNREAD, "check", "Nothing could be read, so nothing was checked."),
)  # fmt: skip


def exit_codes_page() -> str:
    """Return `docs/exit-codes.md`: what holds for every command, and what one means besides."""
    of_all = [row for row in EXITS if not row.command]
    of_one = [row for row in EXITS if row.command]
    lines = [
        "# Exit codes", "",
        "What `melnb` tells a shell or a scheduler. Made by `python docs/exit_codes.py`.", "",
        "| code | of every command |", "|---|---|",
        *(f"| {row.code} | {row.meaning} |" for row in of_all), "",
        "| command | code | it means |", "|---|---|---|",
        *(f"| `melnb {row.command}` | {row.code} | {row.meaning} |" for row in of_one), "",
        "A program that a signal ends has no code of its own: the shell tells 128 and the signal's "
        "number, 137 where the system ended it for want of memory.", "",
        "```bash", "melnb check train.csv test.csv", "case $? in",
        '  0) echo "train on it" ;;', '  1) echo "look first" ;;',
        '  *) echo "stop"; exit 1 ;;', "esac", "```",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
