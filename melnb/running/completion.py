"""Shell completion: what may stand at a place of the command line, asked of the parser itself.

click completes verbs and options; here is what stands behind them: stages, parameters and their
choices, pipelines, runs. Of a parameter the part that is being typed is what a shell replaces:
bash takes `=` for a border of words, zsh does not.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
from click.shell_completion import BashComplete, ZshComplete

_BASH_END = "\n    return 0\n}"
# A parameter is no whole word before its value: no blank is put behind `epochs=`.
_BASH_OPEN = (
    "\n    [[ ${#COMPREPLY[@]} -eq 1 && $COMPREPLY == *= ]] && compopt -o nospace 2>/dev/null"
)


def script(shell: str, group: click.Group) -> str:
    """Return what a shell is to evaluate, so that TAB completes `melnb`."""
    kind = {"bash": BashComplete, "zsh": ZshComplete}[shell]
    complete = kind(group, {}, "melnb", "_MELNB_COMPLETE")
    text = complete.source_template % complete.source_vars()  # `source()` asks bash its version
    return text.replace(_BASH_END, _BASH_OPEN + _BASH_END, 1) if shell == "bash" else text


def stages(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the names of stages."""
    from melnb.params.catalogue import STAGES

    return _beginning(STAGES, incomplete)


def pairs(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return `key=` of the stages that a line names, or after it what may be chosen."""
    from melnb.params.catalogue import choices, stage_class

    _stand_in_root(ctx)
    classes = [stage_class(name) for name in _stages_of(ctx)]
    key, sign, value = _split(ctx.params.get(param.name or "") or (), incomplete)
    if not key:
        keys = dict.fromkeys(f"{name}=" for cls in classes for name in cls.model_fields)
        return _beginning(keys, value)
    holders = [c for c in classes if key in c.model_fields]
    offered = dict.fromkeys(choice for c in holders for choice in choices(c, key))
    return [f"{key}{sign}{choice}" if sign else choice for choice in _beginning(offered, value)]


def _split(before: Sequence[str], incomplete: str) -> tuple[str, str, str]:
    """Return the key whose value is typed, the sign that is typed with it, and what of the value.

    In bash `a=1 b=2` are the words `a`, `=`, `1`, `b`, `=`, `2`; the sign is no part of the last.
    """
    if "=" in incomplete:
        key, sign, value = incomplete.partition("=")
        return key, sign, value
    if before[-1:] == ("=",):
        return before[-2] if before[1:] else "", "", incomplete
    alone = before and "=" not in before[-1] and before[-2:-1] != ("=",)
    return before[-1] if alone and not incomplete else "", "", incomplete


def pipelines(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the bare names of the pipelines in `params/`."""
    from melnb.runs.store import project_root

    _stand_in_root(ctx)
    names = project_root().glob("params/*.pipeline.yaml")
    return _beginning(sorted(p.name.removesuffix(".pipeline.yaml") for p in names), incomplete)


def finished(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the finished runs, `STAGE/RUN`; of one stage, where the place is its, `RUN`."""
    from melnb.runs.store import outputs_root

    _stand_in_root(ctx)
    root = outputs_root(ctx.params.get("outputs") or "")
    stage = {"report": "06_report", "model": "03_train"}.get(param.name or "", "")
    runs = [*root.glob("*/*/run.json"), *root.glob("*/*/fold*/run.json")]
    names = sorted({"/".join(run.relative_to(root).parts[:2]) for run in runs})
    if stage:
        names = [name.partition("/")[2] for name in names if name.startswith(f"{stage}/")]
    return _beginning(names, incomplete)


def _stages_of(ctx: click.Context) -> Sequence[str]:
    """Return the stage of a line, or those of the pipeline that it names."""
    from melnb.params.catalogue import STAGES

    if "file" not in ctx.params:
        return [name for name in [ctx.params.get("stage")] if name in STAGES]
    from melnb.running.pipeline import stages_of

    try:
        return stages_of(ctx.params["file"])
    except (ValueError, OSError):  # no pipeline, or one that is refused when it is run
        return ()


def _stand_in_root(ctx: click.Context) -> None:
    """Take the project that the line names before its verb, as the command will."""
    if root := ctx.find_root().params.get("root"):
        os.environ["MELNB_ROOT"] = str(Path(root).resolve())


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return [word for word in words if word.startswith(incomplete)]
