"""What a column of anyone's table holds, and what its name says of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pandas as pd

from melnb.diagnoses import OTHER, find_diagnosis
from melnb.missing import UNSAID as UNSAID

NOTHING, FLAGS, FRACTIONS, NUMBERS, WORDS, MIXED = (
    "nothing", "0 and 1 alone", "fractions", "numbers", "words", "numbers and words",
)  # fmt: skip
PREDICTION, TRUTH, EITHER = "prediction", "truth", "either"
YES, NO = ("1", "1.0", "true", "malignant"), ("0", "0.0", "false", "benign", "other", "rest")

# Words of names. What a person, a picture or a run is like is neither truth nor prediction.
_PREDICTED = {
    "p", "pred", "preds", "predicted", "prediction", "predictions", "prob", "probs", "proba",
    "probability", "probabilities", "score", "scores", "oof", "confidence", "logit", "logits",
    "sigmoid", "softmax", "hat", "yhat", "ypred", "yprob", "yscore", "output", "outputs",
}  # fmt: skip
_TRUE = {
    "truth", "true", "ytrue", "gt", "ground", "label", "labels", "actual", "reference", "dx",
    "diagnosis",
}  # fmt: skip
_OPEN = {"target", "targets", "y", "class", "classes"}
_ELSE = {
    "sex", "gender", "male", "female", "age", "anatom", "site", "location", "localization",
    "width", "height", "pixels", "size", "source", "dataset", "split", "index", "level", "tfrecord",
    "shard", "duplicate", "hair", "hairs", "ruler", "ink", "tta", "views", "run", "kind", "seed",
    "epoch", "weight", "weights", "test", "train", "valid", "val", "external", "year",
    "attribution", "copyright", "type", "tbp", "iddx", "biopsy", "melanocytic", "threshold",
    "thickness", "quality",
}  # fmt: skip
_SPREAD = {
    "std", "sd", "se", "var", "variance", "uncertainty", "entropy", "lower", "upper", "low", "high",
    "ci",
}  # fmt: skip
_POSITIVE, _NEGATIVE = {"1", "malignant", "positive", "pos"}, {
    "0", "benign", "negative", "neg", "other", "rest",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column that may be truth or prediction."""

    name: str
    holds: str
    role: str  # that its name speaks for; empty: none
    of: str = ""  # the class that it is named for


def what_it_holds(cells: pd.Series) -> str:
    """Return what a column of texts holds, in words; what is unsaid does not count."""
    texts = cells.str.strip().str.lower()
    said = pd.Series(texts[~texts.isin(UNSAID)].unique(), dtype=object)
    if said.empty:
        return NOTHING
    if said.isin(("true", "false")).all():
        return FLAGS
    numbers = pd.to_numeric(said, errors="coerce")
    if numbers.isna().all():
        return WORDS
    if numbers.isna().any():
        return MIXED
    values = {*numbers.to_numpy(dtype=float).tolist()}
    if values <= {0.0, 1.0} or values == {-1.0, 0.0, 1.0}:  # -1: unknown, beside a 0
        return FLAGS
    return FRACTIONS if min(values) >= 0 and max(values) <= 1 else NUMBERS


def negative_class(positive: str) -> str:
    """Return what all that is not positive is called, where two classes are told apart."""
    return "benign" if positive == "malignant" else OTHER


def class_name(text: str) -> str:
    """Return the ontology's name of a class, or the name as it stands where it has none."""
    try:
        return find_diagnosis(text)
    except ValueError:
        return text


def _name_words(name: str) -> list[str]:
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
    return re.findall(r"[a-z]+|\d+", parted)


def column_of(name: str, cells: pd.Series, positive: str) -> Column | None:
    """Return what a column may be; None where it is neither truth nor prediction by its name."""
    words = _name_words(name)
    of, role = _class_of(name, words, positive)
    if of:
        return Column(name, what_it_holds(cells), role or (EITHER if of == positive else ""), of)
    said = {*words}
    if said & _SPREAD:
        return None
    if said & _PREDICTED:
        role = "" if said & _TRUE else PREDICTION
    elif said & _ELSE:
        return None
    elif said & _TRUE or said == {"benign", "malignant"}:
        role = TRUTH
    else:
        role = EITHER if said & _OPEN else ""
    holds = what_it_holds(cells)
    calls = bool(said & _PREDICTED and said & _TRUE) and holds in (FLAGS, WORDS)  # pred_label
    return None if calls else Column(name, holds, role)


def _class_of(name: str, words: list[str], positive: str) -> tuple[str, str]:
    """Return the class that a column is named for, and the role that its name speaks for."""
    marks = {PREDICTION: _PREDICTED, TRUTH: _TRUE | _OPEN | {"is"}}
    roles = {role for role, own in marks.items() if {*words} & own - {"y"}}
    left = [w for w in words if not any(w in own for own in marks.values())]
    role = roles.pop() if len(roles) == 1 else ""
    if roles or not left:
        return "", ""
    text = " ".join(left)
    if text == " ".join(_name_words(positive)):
        return positive, role
    if text in _POSITIVE or text in _NEGATIVE:
        if text.isdigit() and not role:
            return "", ""
        return positive if text in _POSITIVE else negative_class(positive), role
    try:
        return find_diagnosis(text), role
    except ValueError:
        # In our own words, p_<class>, a class may have any name.
        return (name[2:], PREDICTION) if name.startswith("p_") and name[2:] else ("", "")
