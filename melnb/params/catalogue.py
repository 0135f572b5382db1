"""The parameters of every stage by its name, and how they are read.

A value comes from the class default, then from a YAML file (`params/03_train.b3.yaml`), then from
`key=value`: the later wins. Below the notebook no code sees these classes, only keyword arguments.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from melnb.params.base import ParameterError as ParameterError
from melnb.params.base import Parameters as Parameters
from melnb.params.base import read_pair as read_pair
from melnb.params.base import read_yaml as read_yaml
from melnb.params.ensemble import Ablation as Ablation
from melnb.params.ensemble import Ensemble as Ensemble
from melnb.params.predict import Predict as Predict
from melnb.params.predict import PseudoLabel as PseudoLabel
from melnb.params.prepare import Explore as Explore
from melnb.params.prepare import Prepare as Prepare
from melnb.params.report import Choose as Choose
from melnb.params.report import Explain as Explain
from melnb.params.report import External as External
from melnb.params.report import Report as Report
from melnb.params.segment import SegmentApply as SegmentApply
from melnb.params.segment import SegmentTrain as SegmentTrain
from melnb.params.tabular import Metadata as Metadata
from melnb.params.train import FindLr as FindLr
from melnb.params.train import Train as Train

STAGES: dict[str, type[Parameters]] = {
    c.stage: c
    for c in (
        Explore, Prepare, SegmentTrain, SegmentApply, Train, FindLr, Metadata, Predict,
        PseudoLabel, Ensemble, Ablation, Report, Explain, Choose, External,
    )
}  # fmt: skip


def stage_class(stage: str) -> type[Parameters]:
    """Return the parameter class of a stage.

    Raises:
        ParameterError: There is no such stage; the nearest is named.
    """
    if stage not in STAGES:
        near = difflib.get_close_matches(stage, STAGES, n=1, cutoff=0.3)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ParameterError(f"no stage {stage!r}{hint} (stages: {list(STAGES)})")
    return STAGES[stage]


def read_parameters(
    stage: str, files: Iterable[str | Path] = (), overrides: Iterable[str] = ()
) -> Parameters:
    """Read and check the parameters of a stage.

    Args:
        stage: The notebook's stem, such as `03_train`.
        files: YAML files; a later file wins.
        overrides: `key=value` texts; they win over files. What is typed for a text is the text;
            lists and mappings are YAML.

    Raises:
        ParameterError: A file is not a mapping, a name is unknown, or a value is refused.
    """
    values: dict[str, Any] = {}
    for file in files:
        values |= read_yaml(file)
    for text in overrides:
        key, value = read_pair(text, "fold=2")
        values[key] = value
    return stage_class(stage).check(values)


def defaults() -> dict[str, dict[str, Any]]:
    """Return what each stage's parameters are where nobody sets them, by stage and name."""
    return {
        stage: {
            name: field.get_default(call_default_factory=True) for name, field in fields.items()
        }
        for stage, fields in ((c.stage, c.model_fields) for c in STAGES.values())
    }
