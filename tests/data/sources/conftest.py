"""Tiny copies of published layouts, and the real data where it is."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest


@pytest.fixture
def touch(tmp_path: Path) -> Callable[..., None]:
    """Make empty pictures: the readers look at names alone."""

    def make(folder: str, names: Iterable[str], suffix: str = ".jpg") -> None:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        for name in names:
            (tmp_path / folder / f"{name}{suffix}").touch()

    return make


@pytest.fixture
def text(tmp_path: Path) -> Callable[..., Path]:
    """Write a small file of lines."""

    def write(name: str, *lines: str, end: str = "\n") -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(end.join((*lines, "")).encode())
        return file

    return write


@pytest.fixture
def real() -> Callable[[str], Path]:
    """Return a folder of the real data, or skip."""

    def folder(name: str) -> Path:
        root = os.environ.get("MELNB_DATA")
        if not root:
            pytest.skip("MELNB_DATA does not name the folder of the real data")
        return Path(root) / name

    return folder
