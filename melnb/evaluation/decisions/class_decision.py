"""Class decisions: logit adjustment, and weights for balanced accuracy, macro F1 or costs.

The most probable class is right most often, and so it rarely names a rare one: of 115
dermatofibromas among 10,015 images few are called so. Whoever is judged by balanced accuracy, by
macro F1 or by what a call costs decides otherwise, with the same probabilities:

    logit_adjustment    argmax p_k / π_k^tau, π_k the class's share of the rows
                        (Menon et al. 2021, ICLR, section 4.1; tau 1 is best for balanced accuracy
                        where probabilities are calibrated, Elkan 2001, IJCAI)
    balanced_accuracy   argmax w_k p_k, w_k searched (`class_weights`)
    macro_f1            likewise
    cost                argmax w_k g_k, g_k what the call k saves of the dearest one on average;
                        with weights of one the least expected cost (Elkan 2001), which needs no
                        search, only calibrated probabilities

Weights are fitted like a threshold: nested, each fold's rows by what the others asked for, then on
all out-of-fold rows, frozen and kept as JSON for test rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from melnb.evaluation.calibration.prevalence import truth_codes
from melnb.evaluation.decisions.class_weights import Criterion, levelled, search_weights
from melnb.evaluation.rows import crossfit_parts
from melnb.tables.checks import TEST, TableError
from melnb.tables.documents import DamagedError, read_as
from melnb.tables.files import replacing
from melnb.tables.schema import check_predictions, class_names

Decide = Literal["argmax", "logit_adjustment", "balanced_accuracy", "macro_f1", "cost"]
CRITERIA: dict[Decide, Criterion] = {
    "argmax": "balanced_accuracy", "logit_adjustment": "balanced_accuracy",
    "balanced_accuracy": "balanced_accuracy", "macro_f1": "macro_f1", "cost": "cost",
}  # fmt: skip
"""What each decision is for."""
Costs = Mapping[str, Mapping[str, float]]
Weights = Mapping[str, float]
_REMEDY = "write it again by 06_report, with class_decision set"
_SEARCHED = ("balanced_accuracy", "macro_f1", "cost")


@dataclass(frozen=True)
class ClassDecision:
    """How a row's class is decided, with what was fitted for it.

    Attributes:
        decide: One of `CRITERIA`.
        classes: Of the tables that it is for.
        weights: By class, of all out-of-fold rows, for test rows; their geometric mean is one.
            None: none was fitted.
        parts: The same without each fold (or part of a single one), by its number as a text.
        costs: Of a call for a truth: truth, then called; what is not named costs 1, a right call 0.
        tau: Of the logit adjustment.
        rows: How many it was fitted on.
        run: Whose predictions they were.
        note: Why there are no weights, for all rows or for those of some parts; how parts were
            made.
    """

    decide: Decide
    classes: tuple[str, ...]
    weights: Weights
    parts: Mapping[str, Weights] = field(default_factory=dict)
    costs: Costs = field(default_factory=dict)
    tau: float = 1.0
    rows: int = 0
    run: str = ""
    note: str = ""

    def worth(self, predictions: pd.DataFrame) -> np.ndarray:
        """Return what is weighted, n x classes: probabilities, or what each call saves."""
        values = predictions[[f"p_{name}" for name in self.classes]].to_numpy(dtype=float)
        if self.decide != "cost":
            return values
        costs = cost_matrix(self.costs, self.classes)
        return np.asarray(values @ (costs.max(axis=1, keepdims=True) - costs))


def fit_class_decision(
    predictions: pd.DataFrame,
    *,
    decide: Decide,
    costs: Costs | None = None,
    tau: float = 1.0,
) -> ClassDecision:
    """Fit how a row's class is decided, without each fold and on all out-of-fold rows.

    A single fold is cut into five parts by whole patients, else lesions, else rows first
    (`rows.crossfit_parts`).

    Args:
        predictions: Predictions table of probabilities; its test rows are not looked at.
        decide: What is to be best: see the module; `argmax` fits nothing.
        costs: Of `cost`: truth, then called; what is not named costs 1, a right call 0.
        tau: Of `logit_adjustment`: 0 leaves the most probable class.

    Returns:
        Weights, or a `note` that says why there are none: a class without a row, scores that are
        no probabilities, no row out of fold.

    Raises:
        ValueError: `decide` is unknown, `tau` is below 0, or a cost is wrong.
    """
    if decide not in CRITERIA:
        raise ValueError(f"decide is {decide!r}: use one of {list(CRITERIA)}")
    if not 0 <= tau < np.inf:
        raise ValueError(f"tau is {tau}: use 0 or more, 1 for equal classes")
    classes = class_names(predictions)
    matrix = cost_matrix(costs or {}, classes)
    rows = predictions[(predictions["fold"] != TEST) & predictions["truth"].notna()]
    run = str(rows["run"].iloc[0]) if len(rows) else ""
    empty = ClassDecision(decide, classes, {}, {}, _plain(costs), tau, len(rows), run)
    if decide == "argmax":
        return replace(empty, weights=dict.fromkeys(classes, 1.0))
    why = _unfit(predictions, rows)
    if why:
        return replace(empty, note=f"not estimable: {why}")
    part, words = crossfit_parts(rows)
    codes, values = truth_codes(rows), empty.worth(rows)
    frozen, why = _fitted(values, codes, empty, matrix)
    if why:
        return replace(empty, note=f"not estimable: {why}")
    names = [int(k) for k in np.unique(part)]
    names = names if len(names) > 1 else []  # nothing is left when it is set aside
    fitted = {str(k): _fitted(values[part != k], codes[part != k], empty, matrix) for k in names}
    lacking = [f"{text} outside part {k}" for k, (_, text) in fitted.items() if text]
    text = "; ".join(filter(None, (words, *lacking[:1])))
    weights_of = {name: weights for name, (weights, _) in fitted.items()}
    return replace(empty, weights=frozen, parts=weights_of, note=text)


def apply_class_decision(
    predictions: pd.DataFrame, decision: ClassDecision, *, frozen: bool = False
) -> pd.DataFrame:
    """Return predictions whose highest value is the decision: weighted, and of sum one.

    Out-of-fold rows get the weights of the other folds, test rows the frozen ones. The logit
    adjustment by tau 1 makes probabilities at equal shares of all classes; of the others nothing
    is left but the decision.

    Args:
        predictions: Predictions table of the decision's classes.
        decision: `fit_class_decision` of these rows, or of others and read again.
        frozen: Give all rows the frozen weights: of rows that it was not fitted on.

    Raises:
        TableError: The classes are others, or the weights of a row were not fitted.
    """
    if decision.decide == "argmax":
        return predictions
    if {*class_names(predictions)} != {*decision.classes}:
        raise TableError(
            f"predictions: the classes are {list(class_names(predictions))}, and the decision's "
            f"{list(decision.classes)}: fit one on predictions of this task"
        )
    weighted = decision.worth(predictions) * _of_rows(predictions, decision, frozen=frozen)
    total = weighted.sum(axis=1, keepdims=True)
    alike = np.full(weighted.shape, 1 / len(decision.classes))  # where all calls cost the same
    values = np.divide(weighted, total, out=alike, where=total > 0)
    columns = {f"p_{name}": values[:, k] for k, name in enumerate(decision.classes)}
    return check_predictions(predictions.assign(**columns))


def write_class_decision(decision: ClassDecision, path: str | Path) -> Path | None:
    """Write a decision as JSON, whole or not at all; numbers read back bit for bit.

    Returns:
        The path; None where there is nothing to keep, as nothing was fitted.
    """
    if decision.decide == "argmax":
        return None
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(asdict(decision), indent=1) + "\n", encoding="utf-8")
    return Path(path)


def read_class_decision(path: str | Path) -> ClassDecision:
    """Read a decision and check it.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: It is no decision, or holds a weight that is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent}: {_REMEDY}")
    try:
        read = read_as(path, ClassDecision, _REMEDY)
        cost_matrix(read.costs, read.classes)
    except ValueError as error:
        problem = error.problem if isinstance(error, DamagedError) else error
        raise TableError(f"{path} holds no class decision ({problem}): {_REMEDY}") from None
    for whose, weights in {"weights": read.weights, **read.parts}.items():
        wrong = {*weights} != {*read.classes} or any(not 0 < w < np.inf for w in weights.values())
        if weights and wrong:
            raise TableError(
                f"{path}: {whose} is {dict(weights)}, not a number above 0 for each of "
                f"{list(read.classes)}: {_REMEDY}"
            )
    return read


def cost_matrix(costs: Costs, classes: tuple[str, ...]) -> np.ndarray:
    """Return costs, classes x classes: truths down, calls across; 1 where none is named, 0 right.

    Raises:
        ValueError: A class is not of these, or a cost is below 0 or no number.
    """
    matrix = 1 - np.eye(len(classes))
    for truth, row in costs.items():
        for called, cost in row.items():
            strange = [name for name in (truth, called) if name not in classes]
            if strange:
                raise ValueError(
                    f"costs names {strange[0]!r}, and the classes are {list(classes)}: write "
                    "{truth: {called: cost}}"
                )
            if not 0 <= cost < np.inf:
                raise ValueError(f"costs of {truth} called {called} is {cost}: use 0 or more")
            matrix[classes.index(truth), classes.index(called)] = cost
    return matrix


def plug_in(decision: ClassDecision) -> ClassDecision:
    """Return the decision by costs without a search: the least expected cost, by weights of one."""
    ones = dict.fromkeys(decision.classes, 1.0)
    return replace(decision, weights=ones, parts=dict.fromkeys(decision.parts, ones))


def _fitted(
    values: np.ndarray, codes: np.ndarray, decision: ClassDecision, costs: np.ndarray
) -> tuple[Weights, str]:
    """Return weights by class, or none and why."""
    counts = np.bincount(codes, minlength=len(decision.classes))
    if not counts.all():
        return {}, f"no row is {decision.classes[int(counts.argmin())]}"
    shares = counts / counts.sum()
    adjusted = shares**-decision.tau
    if decision.decide in _SEARCHED:
        criterion = CRITERIA[decision.decide]
        starts = [np.ones(len(counts)), shares**-0.5, 1 / shares]
        adjusted = search_weights(values, codes, criterion=criterion, costs=costs, starts=starts)
    return dict(zip(decision.classes, levelled(adjusted).tolist(), strict=True)), ""


def _of_rows(predictions: pd.DataFrame, decision: ClassDecision, *, frozen: bool) -> np.ndarray:
    """Return weights, n x classes.

    Raises:
        TableError: A row's were not fitted.
    """
    part = np.full(len(predictions), TEST)
    inside = (predictions["fold"] != TEST).to_numpy() & (not frozen)
    if inside.any():
        part[inside] = crossfit_parts(predictions[inside])[0]
    weights = np.empty((len(predictions), len(decision.classes)))
    for name in np.unique(part):
        of_part = decision.weights if name == TEST else decision.parts.get(str(name), {})
        if not of_part:
            raise TableError(
                f"class decision: no weights were fitted for rows of part {name} "
                f"({decision.note or 'it was fitted on other rows: give frozen'})"
            )
        weights[part == name] = [of_part[k] for k in decision.classes]
    return weights


def _unfit(predictions: pd.DataFrame, rows: pd.DataFrame) -> str:
    """Return why nothing can be fitted, or an empty text."""
    if (predictions["kind"] == "score").any():
        return "kind is 'score', and class weights need probabilities: choose a calibrator"
    return "" if len(rows) else "no row is out of fold"


def _plain(costs: Costs | None) -> Costs:
    return {truth: dict(row) for truth, row in (costs or {}).items()}
