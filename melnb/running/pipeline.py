"""Many stages: read a pipeline's YAML into checked jobs that know what they need.

    set: {dataset: demo}            # reaches every stage that has the parameter
    stages:
      - 02_prepare: params/02_prepare.demo.yaml
      - 03_train: {file: params/03_train.demo.yaml, folds: all, with: {run: small}}
      - 04_predict: {with: {run: small}}
      - 03_train: {folds: all, seeds: [0, 1], each: {plain: {}, focal: {loss: focal}}}

A value comes from the class default, then the stage's file, then `set`, then `with`, then
`key=value` for all stages, then `stage.key=value`: the later wins. A fold makes one job; `folds` is
their number, a list, or `all` that the pipeline's own 02_prepare cuts of the dataset. What a job
needs is read off its parameters, so the order of the lines is the reader's alone. `each` names runs
and what sets them apart; `seeds` makes `<run>-s<seed>` of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from melnb.params import scalars
from melnb.params.catalogue import (
    ParameterError,
    Parameters,
    read_pair,
    read_yaml,
    stage_class,
)
from melnb.running.up_to_date import AFTER, needed, there_already
from melnb.runs.store import located, outputs_root, project_root, run_name
from melnb.tables.nearest import did_you_mean

_ENDING = ".pipeline.yaml"


@dataclass(frozen=True)
class Job:
    """One notebook to run: a stage with its parameters, and the jobs that come before it."""

    parameters: Parameters
    needs: tuple[str, ...] = ()

    @property
    def stage(self) -> str:
        return self.parameters.stage

    @property
    def key(self) -> str:
        """Return the run's folder below `outputs/`, which names the job."""
        return f"{self.stage}/{run_name(self.parameters)}"


@dataclass(frozen=True)
class Pipeline:
    """Jobs in an order in which they can run."""

    name: str
    outputs: str
    jobs: tuple[Job, ...]

    @property
    def folder(self) -> Path:
        """Return where the pipeline keeps its graph, logs and marks, apart from the runs."""
        return outputs_root(self.outputs) / ".pipeline" / self.name


def read_pipeline(file: str | Path, overrides: Iterable[str] = ()) -> Pipeline:
    """Read a pipeline and check every parameter of every job, before anything runs.

    Args:
        file: The YAML, relative to the working directory or to the project.
        overrides: `key=value` for every stage that has the key, or `stage.key=value`.

    Raises:
        ParameterError: A name is unknown, a value is refused, two jobs are one run, or a job needs
            a run that is neither in the pipeline nor finished.
    """
    path = _find(file)
    plan = read_yaml(path)
    _known(plan, ("outputs", "set", "stages"), str(path))
    shared = scalars.mapping(plan.get("set"), f"{path}: set")
    if not scalars.is_absent(plan.get("outputs")):
        shared["outputs"] = plan["outputs"]
    listed = plan.get("stages")
    if not isinstance(listed, list) or not listed:
        raise ParameterError(f"{path}: stages is {listed or 'empty'}: list one stage or more")
    lines = [_line(line, path) for line in listed]
    stages = [stage for stage, _ in lines]
    for_all, for_one = _overrides(overrides, stages)
    _reach(shared, stages, f"{path}: set")
    _reach(for_all, stages, "key=value")
    given = [
        (stage, line, values)
        for stage, line in lines
        for values in _values(stage, line, shared, for_all, for_one.get(stage, {}))
    ]
    cut = {v["dataset"]: v["n_folds"] for _, _, v in given if {"dataset", "n_folds"} <= set(v)}
    jobs = [
        Job(parameters)
        for stage, line, values in given
        for parameters in _expand(stage, line, values, cut)
    ]
    outputs = str({**shared, **for_all}.get("outputs", ""))
    name = path.name.removesuffix(".yaml").removesuffix(".pipeline")
    return Pipeline(name, outputs, _ordered(jobs, path))


def stages_of(file: str | Path) -> list[str]:
    """Return the stages that a pipeline lists, as often as it does.

    Raises:
        ParameterError: It is no pipeline.
    """
    path = _find(file)
    return [_line(line, path)[0] for line in read_yaml(path).get("stages") or ()]


def _find(file: str | Path) -> Path:
    """Return the file of a pipeline, which may be named bare: `demo` for its file in `params/`.

    Raises:
        ParameterError: A bare name is none; the nearest is named.
    """
    path, bare = located(file), Path(file).suffix == "" and len(Path(file).parts) == 1
    home = project_root() / "params"
    if path.is_file() or not bare:
        return path
    names = sorted(p.name.removesuffix(_ENDING) for p in home.glob(f"*{_ENDING}"))
    if str(file) in names:
        return home / f"{file}{_ENDING}"
    hint = did_you_mean(file, names) or f" (there: {', '.join(names) or 'none'})"
    raise ParameterError(f"no pipeline {str(file)!r} in {home}{hint}")


def _values(
    stage: str,
    line: Mapping[str, Any],
    shared: Mapping[str, Any],
    for_all: Mapping[str, Any],
    for_one: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Return the values of each run of a line, among them the defaults that name or count runs."""
    cls = stage_class(stage)
    fields = cls.model_fields
    names = [name for name in ("dataset", "n_folds", "run") if name in fields]
    values: dict[str, Any] = {name: fields[name].default for name in names}
    values |= {} if scalars.is_absent(line.get("file")) else read_yaml(located(line["file"]))
    values |= {key: value for key, value in shared.items() if key in fields}
    values |= scalars.mapping(line.get("with"), f"{stage}: with")
    last = {key: value for key, value in for_all.items() if key in fields} | dict(for_one)
    return [cls.settled({**variant, **last}) for variant in _variants(stage, line, values)]


def _variants(
    stage: str, line: Mapping[str, Any], values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Return the values of each technique and each seed that a line asks for."""
    each = line.get("each", {"": {}})
    seeds = scalars.settle(line.get("seeds", [None]), int | list[int])
    if not isinstance(each, dict) or not each or not isinstance(seeds, list) or not seeds:
        raise ParameterError(
            f"{stage}: each is {each!r} and seeds {seeds!r}: write each: {{plain: {{}}, focal: "
            "{loss: focal}} and seeds: [0, 1], say"
        )
    variants = []
    for name, given in each.items():
        run = name or values.get("run", "")
        for seed in seeds:
            variation = {} if seed is None else {"run": f"{run}-s{seed}", "seed": seed}
            given = scalars.mapping(given, f"{stage}: each: {name}")
            variants.append({**values, **({"run": run} if name else {}), **given, **variation})
    return variants


def _expand(
    stage: str, line: Mapping[str, Any], values: Mapping[str, Any], cut: Mapping[str, int]
) -> list[Parameters]:
    """Make the parameters of a line's jobs: one, or one for each fold."""
    if "folds" not in line:
        return [stage_class(stage).check(values)]
    folds = scalars.settle(line["folds"], int | list[int])
    if folds == "all":
        folds = cut.get(values.get("dataset", ""), folds)
    if isinstance(folds, int) and folds > 0:
        folds = list(range(folds))
    if not isinstance(folds, list) or not folds:
        raise ParameterError(
            f"{stage}: folds is {folds!r}: give their number, a list of them, or `all` if the "
            f"pipeline prepares the dataset {values.get('dataset')!r}"
        )
    return [stage_class(stage).check({**values, "fold": fold}) for fold in folds]


def _line(line: Any, path: Path) -> tuple[str, dict[str, Any]]:
    """Read `- stage: file`, `- stage: {file, folds, with}` or `- stage`."""
    if isinstance(line, str):
        line = {line: None}
    if not isinstance(line, dict) or len(line) != 1:
        raise ParameterError(f"{path}: {line!r} is no stage: write `- 03_train: {{folds: 3}}`, say")
    stage, given = next(iter(line.items()))
    stage_class(str(stage))
    if scalars.is_absent(given) or isinstance(given, str):
        given = {} if scalars.is_absent(given) else {"file": given}
    if not isinstance(given, dict):
        raise ParameterError(f"{path}: {stage} has {given!r}: give a file or {{file, folds, with}}")
    _known(given, ("file", "folds", "with", "each", "seeds"), f"{path}: {stage}")
    return str(stage), given


def _overrides(
    texts: Iterable[str], stages: Sequence[str]
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Split `key=value` from `stage.key=value`."""
    for_all: dict[str, Any] = {}
    for_one: dict[str, dict[str, Any]] = {}
    for text in texts:
        key, value = read_pair(text, "03_train.epochs=2")
        stage, dot, name = key.rpartition(".")
        if dot and stage not in stages:
            raise ParameterError(f"{text!r}: the pipeline has no {stage!r} (it has {stages})")
        target = for_one.setdefault(stage, {}) if dot else for_all
        target[name] = value
    return for_all, for_one


def _reach(values: Mapping[str, Any], stages: Sequence[str], where: str) -> None:
    """Refuse a shared name that no stage of the pipeline has."""
    fields = {name for stage in stages for name in stage_class(stage).model_fields}
    _known(values, sorted(fields), where)


def _known(values: Mapping[Any, Any], names: Sequence[str], where: str) -> None:
    for name in values:
        if name not in names:
            hint = did_you_mean(name, names) or f"; known: {', '.join(names)}"
            raise ParameterError(f"{where}: unknown {name!r}{hint}")


def _ordered(jobs: Sequence[Job], path: Path) -> tuple[Job, ...]:
    """Join each job to those that it needs, and put them in an order in which they can run."""
    by_key: dict[str, Job] = {}
    for job in jobs:
        if job.key in by_key:
            raise ParameterError(f"{path}: two jobs write {job.key}: give one another `run`")
        by_key[job.key] = job
    joined = {key: replace(job, needs=_joined(job, by_key)) for key, job in by_key.items()}
    sorter = TopologicalSorter({key: job.needs for key, job in joined.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ParameterError(
            f"{path}: jobs need each other: {' <- '.join(error.args[1])}"
        ) from None
    ready: list[str] = []
    order: list[Job] = []
    while sorter.is_active():
        ready = sorted({*ready, *sorter.get_ready()}, key=list(joined).index)  # as they were listed
        order.append(joined[ready[0]])
        sorter.done(ready.pop(0))
    return tuple(order)


def _joined(job: Job, jobs: Mapping[str, Job]) -> tuple[str, ...]:
    names: list[str] = []
    for name in needed(job.parameters):
        matches = [key for key in jobs if fnmatchcase(key, name)]
        if not matches and not there_already(name, str(job.parameters.plain()["outputs"])):
            raise ParameterError(
                f"{job.key} needs {name}, which is no job of the pipeline and no finished run: "
                "add its stage, or correct the parameter that names it"
            )
        names += matches
    names += [
        key
        for key, other in jobs.items()
        if other.stage == AFTER.get(job.stage) and job.key not in needed(other.parameters)
    ]
    return tuple(dict.fromkeys(names))
