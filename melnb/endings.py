"""How a kernel ended that was not asked to: what is known of it, and what to do, in words."""

from __future__ import annotations

import re
import signal
from pathlib import Path

from melnb.obstacles import LESS, remedy

_LAST, _WIDTH = 3, 160  # lines of a log that are shown, and their characters
_FATAL = "Fatal Python error"  # what Python says of a crash, and then where it was
_CRASHED = "compiled code crashed, no cell's Python: run it again; if it dies there again, it is a"
_ASKED = "a person or a scheduler asked it to end, at a limit of time, say: run it again to go on"
_CAUSES = {
    "SIGSEGV": f"{_CRASHED} library's fault or two that do not fit together",
    "SIGABRT": f"{_CRASHED} library that gave up, in the words below if it has any",
    "SIGBUS": f"{_CRASHED} file that was cut while it was read, or a full disk or /dev/shm",
    "SIGILL": f"{_CRASHED} library that was built for another processor",
    "SIGFPE": f"{_CRASHED} library's fault",
    "SIGTERM": _ASKED,
    "SIGHUP": _ASKED,
    "SIGINT": _ASKED,
    "SIGXCPU": "it used all the processor time that it may: ask for more, or run it again to go on",
}


def count_memory_kills() -> int:
    """Return how many processes the system has ended for want of memory, as far as it tells."""
    for file in _counters():
        try:
            text = file.read_text(encoding="utf-8")
        except OSError:  # no such file system here, or not for us
            continue
        if found := re.search(r"^oom_kill (\d+)$", text, re.MULTILINE):
            return int(found[1])
    return 0


def describe(code: int | None, *, log: Path, memory_kills: int = 0) -> str:
    """Say how a kernel ended, what to do, and what it said last.

    Args:
        code: Of its exit; below zero: minus the signal's number; None: unknown.
        log: What it wrote besides its cells' outputs.
        memory_kills: Processes that the system ended for want of memory while it ran.
    """
    words = last_words(log)
    said = f"\nits last words, in {log}:\n" + "\n".join(words) if words else ""
    return f"the kernel died {_cause(code, ' '.join(words), memory_kills)}{said}"


def last_words(log: Path) -> list[str]:
    """Return what matters of a log: its last; of a crash the words before it, and where."""
    if not log.is_file():
        return []
    text = log.read_text(encoding="utf-8", errors="replace")
    lines = [line.strip()[:_WIDTH] for line in text.splitlines() if line.strip()]
    fatal = max((k for k, line in enumerate(lines) if _FATAL in line), default=None)
    if fatal is None:
        return lines[-_LAST:]
    where = [line for line in lines[fatal + 1 :] if line.startswith("File ")][:1]
    return [*lines[max(0, fatal - 1) : fatal + 1], *where]


def _cause(code: int | None, said: str, memory_kills: int) -> str:
    if code is None:
        return "and nothing is known of how: see the system's log"
    if code >= 0 and code <= 128:
        ended = f"of its own accord, with exit code {code}"
        if lacks := remedy(said):
            return f"{ended}, {lacks}"
        return f"{ended}: a cell, or what it calls, ends the process (exit, os._exit)"
    number = -code if code < 0 else code - 128  # as a shell tells it
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"with exit code {code}: see the system's log"
    by = f"by signal {number} ({name})"
    if name == "SIGKILL" and memory_kills:
        return f"{by}, out of memory: the system ended {memory_kills} for that meanwhile; {LESS}"
    if name == "SIGKILL":
        return (
            f"{by}, perhaps out of memory, for which the system does so (its log would say): {LESS}"
            "; or somebody ended it: run it again to go on"
        )
    if lacks := remedy(said):
        return f"{by}, {lacks}"
    return f"{by}: {_CAUSES.get(name, _ASKED)}"


def _counters() -> list[Path]:
    """Return the files that may count: those of our group of processes first."""
    try:
        groups = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    files, root = [], Path("/sys/fs/cgroup")
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            files.append(root / path.strip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            files.append(root / "memory" / path.strip("/") / "memory.oom_control")
    return [*files, Path("/proc/vmstat")]
