"""What costs most is counted: kernels that import by themselves, and published networks.

Each process that a test starts, however deep, writes a line to one file when it is a cold kernel
and when it builds one of Keras' own networks; `PYTHONPATH` leads it here by `sitecustomize`.
"""

from __future__ import annotations

import functools
import importlib.machinery
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest  # which a kernel has no use for

FILE = "MELNB_STARTS"  # the variable that names the file
WHY = "MELNB_COLD"  # the variable that tells a cold kernel why it is not warm
KERNEL, NETWORK = "cold kernel", "published network"
APPLICATIONS = "keras.applications"


def note(kind: str, why: str = "") -> None:
    """Write down that one was started, by which test, and for what."""
    if file := os.environ.get(FILE):
        test = os.environ.get("PYTEST_CURRENT_TEST", "no test (at all)").rpartition(" (")[0]
        with Path(file).open("a", encoding="utf-8") as starts:
            starts.write(f"{kind}: {test} {why}".rstrip() + "\n")


def read(file: Path) -> dict[str, Counter[str]]:
    """Return, for each kind, how many each test started."""
    counts: dict[str, Counter[str]] = {KERNEL: Counter(), NETWORK: Counter()}
    for line in file.read_text(encoding="utf-8").splitlines():
        kind, _, test = line.partition(": ")
        counts[kind][test] += 1
    return counts


class Judge:
    """A plugin of the process that began the tests: it fails them if too much was started.

    Args:
        limits: How many of each kind are agreed; none: all are.
    """

    def __init__(self, limits: dict[str, int]) -> None:
        import tempfile

        handle, file = tempfile.mkstemp(prefix="melnb-starts-")
        os.close(handle)
        os.environ[FILE] = file
        self.limits, self.counts = limits, read(Path(file))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self.counts = read(Path(os.environ[FILE]))
        if self._exceeded():
            session.exitstatus = session.exitstatus or 1

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for kind, tests in self.counts.items():
            agreed = f" ({self.limits[kind]} agreed)" if kind in self.limits else ""
            terminalreporter.line(f"{kind}s started: {tests.total()}{agreed}")
        for kind in self._exceeded():
            terminalreporter.section(f"too many {kind}s", red=True)
            for test, number in self.counts[kind].most_common():
                terminalreporter.line(f"{number:4} {test}")

    def pytest_unconfigure(self) -> None:
        Path(os.environ.pop(FILE)).unlink()

    def _exceeded(self) -> list[str]:
        return [kind for kind, most in self.limits.items() if self.counts[kind].total() > most]


def count() -> None:
    """Count what this process starts: itself, if it is a kernel, and networks."""
    if "ipykernel_launcher" in sys.orig_argv:  # a warm one is a fork of its parent, by its words
        note(KERNEL, os.environ.get(WHY, ""))
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds `keras.applications` as Python does, and has its networks counted."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != APPLICATIONS:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run: Callable[[ModuleType], None] = spec.loader.exec_module

            def counted(module: ModuleType) -> None:
                run(module)
                for each, builder in list(vars(module).items()):
                    if each[:1].isupper() and callable(builder):
                        setattr(module, each, _counting(builder))

            spec.loader.exec_module = counted  # type: ignore[method-assign]
        return spec


def _counting(builder: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(builder)
    def build(*args: Any, **named: Any) -> Any:
        note(NETWORK)
        return builder(*args, **named)

    return build
