"""Every parameter of a training notebook reaches something: no switch may do nothing."""

import json
import re
from pathlib import Path

import pytest

from melnb.params import catalogue

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("stage", ["02c_segment_train", "03_train", "04_predict"])
def test_every_parameter_is_used(stage: str) -> None:
    cells = json.loads((NOTEBOOKS / f"{stage}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "code")
    used = set(re.findall(r"\bp\.(\w+)", code)) - {"plain", "stage"}
    values = catalogue.STAGES[stage]()
    for group in used - set(values.model_fields_set) - set(type(values).model_fields):
        handed = [getattr(values, group)]  # on, to what refuses those that it lacks
        for keywords in handed:
            if isinstance(keywords, dict):
                used |= keywords.keys()
                handed += keywords.values()
    assert set(type(values).model_fields) <= used
