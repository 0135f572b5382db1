"""Every parameter of a training notebook reaches something: no switch may do nothing."""

import ast
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

from melnb.params import catalogue

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("stage", ["02c_segment_train", "03_train", "04_predict"])
def test_every_parameter_is_used(stage: str) -> None:
    cells = json.loads((NOTEBOOKS / f"{stage}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    names: dict[str, Any] = {}
    body = [n for n in ast.parse(code).body if isinstance(n, ast.Import | ast.ImportFrom)]
    exec(compile(ast.Module(body, []), stage, "exec"), names)
    used = set(re.findall(r"\bp\.(\w+)", code)) - {"keywords", "plain", "stage"}
    for call in re.findall(r"\bp\.keywords\(([\w.]+)\)", code):
        used |= set(inspect.signature(eval(call, names)).parameters)
    assert set(catalogue.STAGES[stage].model_fields) <= used
