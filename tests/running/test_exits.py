"""Exit codes: the page is made of their table, and no command knows another."""

import ast
from pathlib import Path

import pytest
from click.testing import CliRunner

from melnb import cli
from melnb.running import commands, exits

PAGE = Path(__file__).parents[2] / "docs" / "exit-codes.md"


def test_the_page_is_made_of_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == exits.exit_codes_page(), "make api"


def test_every_code_that_a_command_returns_is_in_the_table() -> None:
    """Codes are written by their names, and each name's code has a row."""
    named, listed = set(), {row.code for row in exits.EXITS}
    for module in (cli, commands):
        for node in ast.walk(ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="sys"), attr="exit")):
                    (value,) = node.args
                case ast.Assign(targets=[ast.Name(id="exit_code" | "codes")]):
                    value = node.value
                case _:
                    continue
            assert not any(
                isinstance(n, ast.Constant) and n.value is not None and isinstance(n.value, int)
                for n in ast.walk(value)
            ), ast.unparse(node)
            named |= {n.attr for n in ast.walk(value) if isinstance(n, ast.Attribute)
                      and isinstance(n.value, ast.Name) and n.value.id == "exits"}  # fmt: skip
    assert named == {"DONE", "FAILED", "UNREAD", "STOPPED", "CHECK_FAILS"}
    assert {getattr(exits, name) for name in named} <= listed


@pytest.mark.parametrize("row", [row for row in exits.EXITS if row.command], ids=str)
def test_a_row_of_one_command_is_of_one_that_there_is(row: exits.Exit) -> None:
    assert row.command in cli.main.commands
    assert row.meaning.endswith(".")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["stages", "03_train"], exits.DONE), (["--help"], exits.DONE), (["--version"], exits.DONE),
        (["stages", "03_trian"], exits.FAILED), (["results", "06_report/r"], exits.FAILED),
        (["stage"], exits.MISUSED), (["run"], exits.MISUSED),
        (["run", "--fast"], exits.MISUSED), (["check"], exits.MISUSED),
        (["check", "no.csv"], exits.UNREAD), (["completion", "fish"], exits.MISUSED),
    ],
)  # fmt: skip
def test_commands_exit_as_the_table_says(words: list[str], code: int, project: Path) -> None:
    assert CliRunner().invoke(cli.main, words).exit_code == code


def test_a_stopped_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("melnb.params.catalogue.stage_lines", stopped)
    result = CliRunner().invoke(cli.main, ["stages"])
    assert result.exit_code == exits.STOPPED
    assert "the same command goes on" in result.output
