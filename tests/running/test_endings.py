"""How kernels end, in words: what is known is said, what is guessed is called so."""

import signal
from pathlib import Path

import pytest

from melnb.running import kernels


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (-9, "signal 9 (SIGKILL), perhaps out of memory"),
        (137, "signal 9 (SIGKILL), perhaps out of memory"),  # as a shell tells it
        (-11, "signal 11 (SIGSEGV): compiled code crashed"),
        (-15, "signal 15 (SIGTERM): a person or a scheduler asked it to end"),
        (-signal.SIGBUS, "(SIGBUS): compiled code crashed"),
        (0, "with exit code 0: a cell, or what it calls, ends the process"),
        (3, "with exit code 3: a cell, or what it calls, ends the process"),
        (None, "nothing is known of how"),
        (3221225477, "with exit code 3221225477: see the system's log"),  # of Windows
    ],
)
def test_an_exit_is_named(code: int | None, words: str, tmp_path: Path) -> None:
    said = kernels.describe(code, log=tmp_path / "none.log")
    assert said.startswith("the kernel died ")
    assert words in said


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_every_signal_has_words(number: int, tmp_path: Path) -> None:
    assert f"{int(number)}" in kernels.describe(-int(number), log=tmp_path / "none.log")


def test_memory_is_blamed_for_sure_only_where_the_system_says_so(tmp_path: Path) -> None:
    log = tmp_path / "k.log"
    assert "perhaps" in kernels.describe(-9, log=log)
    counted = kernels.describe(-9, log=log, memory_kills=1)
    assert "perhaps" not in counted
    assert "out of memory: the system ended 1 for that meanwhile" in counted
    log.write_text("terminate called after throwing an instance of 'std::bad_alloc'\n")
    for code in (-6, 1):
        assert f"out of memory: {kernels.LESS}" in kernels.describe(code, log=log)
    assert kernels.count_memory_kills() >= 0


def test_the_words_of_a_crash_are_found_in_a_long_log(tmp_path: Path) -> None:
    log = tmp_path / "k.log"
    log.write_text("one\n\ntwo\nthree\nfour\n")
    assert kernels.last_words(log) == ["two", "three", "four"]
    frames = "".join(f'  File "{name}.py", line 1\n' for name in "abc")
    log.write_text(f"one\nF check\nFatal Python error: Aborted\n\nStack:\n{frames}\nlast\n")
    assert kernels.last_words(log) == [
        "F check", "Fatal Python error: Aborted", 'File "a.py", line 1',
    ]  # fmt: skip
    log.write_bytes(b"\xff" * 999)
    assert [len(line) for line in kernels.last_words(log)] == [160]
