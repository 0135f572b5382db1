"""First steps: from files that somebody has to the parameters of a run, told in words.

`melnb look` asks a trained model about new photographs; what is to be decided, which model and who
judged it, is decided and said here, so that the run itself is like any other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from melnb.params.catalogue import Look, ParameterError
from melnb.runs.newest import find_yardstick, newest_training
from melnb.runs.store import located, outputs_root
from melnb.tables.files import safe_id
from melnb.tables.nearest import did_you_mean

Say = Callable[[str], None]


def look_parameters(
    pictures: Sequence[str],
    *,
    model: str = "",
    labels: str = "",
    run: str = "",
    outputs: str = "",
    say: Say = print,
) -> Look:
    """Return the parameters of a look at new pictures: the model and what judged it, if not told.

    Args:
        pictures: Files and folders, from where the person stands.
        model: Run of 03_train; empty: the one that was finished last.
        labels: CSV of what is known of the pictures.
        run: Name of the result; empty: that of the first place, and a digest of all.
        outputs: Where runs are written.
        say: Told which model is asked, and whose threshold holds.

    Raises:
        ParameterError: No model is there, or none of that name.
        FileNotFoundError: Not one picture can be read.
    """
    from melnb.data.new_pictures import check_pictures  # pandas, which nothing else here needs

    trained = model.removeprefix("03_train/").split("/")[0] or newest_training(outputs)
    home = outputs_root(outputs) / "03_train"
    if not trained or not any((home / trained).glob("fold*/run.json")):
        names = sorted(path.name for path in home.iterdir()) if home.is_dir() else []
        way = ": train one first (melnb try <pictures> <labels.csv>, or make demo)"
        near = did_you_mean(trained, names) or f" (there: {', '.join(names)})" if names else way
        raise ParameterError(f"no trained model{f' {trained!r}' * bool(trained)} in {home}{near}")
    places = [located(place).resolve() for place in pictures]
    check_pictures(places)
    yardstick = find_yardstick(trained, outputs)
    say(_judges(trained, yardstick.predictions, yardstick.report, yardstick.chosen, where=model))
    parameters = {
        "pictures": [str(place) for place in places], "train_run": trained, "outputs": outputs,
        "labels": str(located(labels).resolve()) if labels else "", **yardstick._asdict(),
    }  # fmt: skip
    return Look.check({**parameters, "run": run or _name(trained, places)})


def answers(folder: Path) -> list[str]:
    """Return a line for each picture of a finished look, the highest score first, and the rest.

    Args:
        folder: Of a run of 04c_look.
    """
    from melnb.tables.schema import read_table

    rows = read_table(folder / "predictions.csv").sort_values("score", ascending=False)
    width = max(len(str(name)) for name in rows["image_id"])
    lines = []
    row: Any  # pandas knows no kinds of its cells
    for row in rows.itertuples():
        kind = "called" if row.called == row.positive else "not called"
        called = "turned away" if row.strange else f"{kind} {row.positive}"
        met = "" if row.met != row.met else f"learnt from ({row.met})"
        flags = "; ".join(filter(None, (row.flags if row.flags == row.flags else "", met)))
        lines.append(f"{row.image_id:{width}}  {row.score:.3f}  {called:20}  {flags}".rstrip())
    refused = read_table(folder / "refused.csv", empty=True)
    lines += [f"not answered: {r.file}: {r.reason}" for r in refused.itertuples()]
    return lines


def _judges(trained: str, predictions: str, report: str, chosen: str, *, where: str) -> str:
    """Say which model is asked, and whose threshold holds."""
    which = "" if where else ", the newest (another: --model RUN)"
    who = "its threshold is chosen on its out-of-fold scores, as no report judged it alone"
    if chosen:
        who = f"threshold chosen in 06c_choose for 06_report/{report}"
    elif report:
        who = f"threshold of 06_report/{report}"
    seen = f"out-of-fold scores of {predictions or 'its training'}"
    return f"model 03_train/{trained}{which}; {seen}; {who}"


def _name(trained: str, places: Sequence[Path]) -> str:
    """Return a name that other pictures, and the same ones by another model, do not have."""
    text = "\n".join([trained, *map(str, places)])
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{safe_id(places[0].stem)[:60]}-{digest}"
