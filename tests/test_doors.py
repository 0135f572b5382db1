"""The doors: what a room's stub lists is there, documented, used, and on the page of the API."""

import ast
import importlib
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
API = runpy.run_path(str(ROOT / "docs" / "api.py"))
ROOMS = ("data", "models", "evaluation", "display", "params", "runs", "tables")
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def used(path: Path) -> set[tuple[str, str]]:
    """Room and name of all that a notebook takes through a door."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return taken("\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code"))


def taken(code: str) -> set[tuple[str, str]]:
    """Room and name of all that code takes through a door."""
    return {
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.value.id in ROOMS
    }


def test_the_page_of_the_api_is_made_of_the_doors() -> None:
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert page == API["page"](), "make api"


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_says_what_it_is_for(room: str) -> None:
    for name, file in API["public_names"](room).items():
        assert API["definition"](name, file)[1], f"{room}.{name} has no docstring"


@pytest.mark.parametrize("room", ["data", "evaluation", "display", "params", "runs", "tables"])
def test_a_door_leads_to_what_its_stub_names(room: str) -> None:
    door = importlib.import_module(f"melnb.{room}")
    assert set(door.__all__) == set(API["public_names"](room))
    for name in door.__all__:
        if name not in ("augment", "plan_mixing", "sample_mask_views", "sample_views"):  # Keras
            assert getattr(door, name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_no_public_name_is_that_of_a_module_of_its_room(room: str) -> None:
    """Python hangs a module that is imported on its room, in the place of what bears its name."""
    modules = {path.stem for path in (ROOT / "melnb" / room).iterdir()}
    assert not modules & set(API["public_names"](room))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_come_in_by_the_doors(path: Path) -> None:
    for room, name in used(path):
        assert name in API["public_names"](room), f"{room}.{name} is not on the list of {room}"
    source = path.read_text(encoding="utf-8")
    assert "from melnb." not in source
    assert "import melnb" not in source


def test_no_name_is_public_that_neither_notebook_nor_page_needs() -> None:
    pages = [path.read_text(encoding="utf-8") for path in PAGES]
    shown = [code.split("```")[0] for text in pages for code in text.split("```python\n")[1:]]
    needed = set().union(*(used(path) for path in NOTEBOOKS), *(taken(code) for code in shown))
    drawn = {("display", name) for room, name in needed if room == "evaluation"}  # `report.show`
    listed = {(room, name) for room in ROOMS for name in API["public_names"](room)}
    assert listed <= needed | drawn


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        place, _, heading = link.partition("#")
        if "://" in place:
            continue
        file = page.parent / place if place else page
        assert file.exists(), f"{page.name}: {link}"
        titles = re.findall(r"(?m)^#+ (.+)$", file.read_text(encoding="utf-8")) if heading else []
        anchors = {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}
        assert not heading or heading in anchors, f"{page.name}: {link}"


def test_a_door_loads_nothing_before_it_is_asked() -> None:
    code = (
        "import sys\n"
        "from melnb import data, display, evaluation, models, params, runs, tables\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {"numpy", "pandas", "plotly", "pydantic", "sklearn", "keras", "tensorflow", "jax"}
    assert not heavy & set(out.stdout.split())


def test_the_readme_shows_pictures_that_are_there_small_and_described() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", text)
    assert {name for _, name in shown} == {
        path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "pictures").iterdir()
    }
    assert all(len(alt) > 60 for alt, _ in shown)
    assert sum((ROOT / name).stat().st_size for _, name in shown) < 600_000
