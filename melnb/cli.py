"""The command `melnb`: run one notebook or many, and see what stands where."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import melnb
from melnb.running import exits
from melnb.running.commands import (
    Verbs,
    WithParameters,
    completing,
    errors_told,
    parameters_of,
    printable,
    say,
    terminal_width,
)

_PAIRS = click.argument(
    "pairs", nargs=-1, metavar="[KEY=VALUE]...", shell_complete=completing("pairs")
)
_STAGES, _RUNS = completing("stages"), completing("finished")
_FORCE = click.option("--force", is_flag=True, help="Run also what is up to date.")


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--root", type=click.Path(file_okay=False, exists=True), help="The project's folder.")
@click.version_option(melnb.__version__, prog_name="melnb")
def main(root: str | None) -> None:
    """From dermoscopy images to an honest melanoma classifier.

    An error is one message; set MELNB_DEBUG=1 to see where it was raised. Exit codes: 0 done, 1
    failed, 2 not understood, and more in docs/exit-codes.md.
    """
    if root:
        os.environ["MELNB_ROOT"] = str(Path(root).resolve())


@main.command(cls=WithParameters)
@click.argument("stage", shell_complete=_STAGES)
@_PAIRS
@click.option("-f", "--file", "files", multiple=True, help="YAML of parameters; the later wins.")
@_FORCE
@click.option("--state", type=click.Path(path_type=Path), hidden=True)
@errors_told
def run(
    stage: str, pairs: tuple[str, ...], files: tuple[str, ...], force: bool, state: Path | None
) -> None:
    """Run the notebook of STAGE, unless its run is up to date; print what it found.

    For example: melnb run 03_train -f params/03_train.demo.yaml fold=2 epochs=3

    melnb run 03_train --help lists its parameters as well.
    """
    from melnb.params.catalogue import read_parameters
    from melnb.running.snakemake import run_job
    from melnb.running.stage import launch
    from melnb.runs.store import located

    parameters = read_parameters(stage, [located(file) for file in files], pairs)
    if state:
        click.echo(run_job(parameters, state=state, force=force))
    else:
        _show(launch(stage, parameters=parameters, force=force))


@main.command("try")
@click.argument("pictures")
@click.argument("labels", default="")
@click.option("--label", "words", multiple=True, metavar="THEIRS=OURS", help="What a label means.")
@click.option("--other", "others", multiple=True, help="A label that is none of ours.")
@click.option("--name", default="mine", show_default=True, help="Of the data and the runs.")
@click.option("--id-column", default="", help="That names the pictures [default: told by itself].")
@click.option("--label-column", default="", help="That holds the labels [default: likewise].")
@click.option("-n", "--dry-run", is_flag=True, help="Write the pipeline, and run nothing.")
@errors_told
def try_(
    pictures: str,
    labels: str,
    words: tuple[str, ...],
    others: tuple[str, ...],
    name: str,
    id_column: str,
    label_column: str,
    dry_run: bool,
) -> None:
    """Learn from the PICTURES of a folder and a CSV of LABELS, and report how well.

    Without LABELS the folder's folders are the classes. It says what it took for what, writes
    params/NAME.pipeline.yaml, yours to change, runs it, and prints the report's path. For example:
    melnb try photos/ labels.csv --label malignant=melanoma --other benign
    """
    from melnb.params.catalogue import read_pair
    from melnb.running.pipeline import read_pipeline
    from melnb.running.trial import write_pipeline
    from melnb.runs.store import find_run

    translations = dict(read_pair(pair, "--label malignant=melanoma") for pair in words)
    file = write_pipeline(
        pictures, labels, name=name, words=translations | dict.fromkeys(others, "other"),
        id_column=id_column, label_column=label_column, say=say,
        ask=click.prompt if sys.stdin.isatty() else None,
    )  # fmt: skip
    click.echo(f"written: {file}")
    if dry_run:
        return
    _run_pipeline(read_pipeline(file), jobs=2)
    _show(find_run("06_report", name))
    click.echo(f"new photographs: melnb look <pictures> --model {name}")


@main.command()
@click.argument("pictures", nargs=-1, required=True)
@click.option(
    "--model", default="", shell_complete=_RUNS,
    help="Run of 03_train [default: the newest finished].",
)  # fmt: skip
@click.option("--labels", default="", help="CSV of what is known [default: that beside them].")
@click.option("--run", default="", help="Name of the result [default: the pictures' and a digest].")
@_FORCE
@errors_told
def look(pictures: tuple[str, ...], model: str, labels: str, run: str, force: bool) -> None:
    """Say what a trained model makes of new PICTURES: files, folders, or both.

    For example: melnb look clinic/ --model demo. It prints a line for each picture, and the page
    that shows it among the known lesions. Research use, not a medical device.
    """
    from melnb.running.first_steps import answers, look_parameters
    from melnb.running.stage import launch

    parameters = look_parameters(pictures, model=model, labels=labels, run=run, say=say)
    folder = launch(parameters.stage, parameters=parameters, force=force)
    for line in answers(folder):
        say(line)
    click.echo(folder / "look.html")


@main.command()
@click.argument("file", shell_complete=completing("pipelines"))
@click.argument(
    "rest", nargs=-1, metavar="[KEY=VALUE]... [-- SNAKEMAKE ARGUMENTS]",
    shell_complete=completing("pairs"),
)  # fmt: skip
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Notebooks at a time.",
)
@click.option("--gpus", default=0, help="GPU notebooks at a time [default: 1 where there is one].")
@click.option("-n", "--dry-run", is_flag=True, help="Show what would run, and why.")
@_FORCE
@errors_told
def pipeline(
    file: str, rest: tuple[str, ...], jobs: int, gpus: int, dry_run: bool, force: bool
) -> None:
    """Run those notebooks of a pipeline that are not up to date.

    KEY=VALUE reaches every stage that has the parameter, STAGE.KEY=VALUE one stage. What follows --
    goes to Snakemake: melnb pipeline params/demo.pipeline.yaml -- --executor slurm
    """
    from melnb.running.pipeline import read_pipeline
    from melnb.running.snakemake import WOULD_FAIL, planned
    from melnb.running.status import table
    from melnb.running.up_to_date import check_other_dataset

    cut = next((k for k, text in enumerate(rest) if text.startswith("-")), len(rest))
    plan = read_pipeline(file, rest[:cut])
    for job in () if force else plan.jobs:
        check_other_dataset(job.parameters)
    if dry_run:
        plans = planned(plan, force=force)
        click.echo("\n".join(table(plans)))
        sys.exit(exits.FAILED if any(row.state == WOULD_FAIL for row in plans) else exits.DONE)
    _run_pipeline(plan, jobs=jobs, gpus=gpus, force=force, extra=rest[cut:])


def _run_pipeline(plan: Any, **how: Any) -> None:
    """Run a pipeline with its board; exit with 1 unless all is done."""
    from melnb.running.snakemake import run_pipeline
    from melnb.running.status import Board

    rows = run_pipeline(plan, show=Board().show, **how)
    for row in rows:
        if row.state == "failed":
            click.echo(f"\n{row.note}", err=True)
    if any(row.state not in ("done", "up to date") for row in rows):
        sys.exit(exits.FAILED)


@main.command()
@click.argument("outputs", default="")
@click.option("--check", is_flag=True, help="Read all that runs read and wrote, large files too.")
@errors_told
def status(outputs: str, check: bool) -> None:
    """Show every run under OUTPUTS: its state, when, how long, and its main result.

    A run is `changed` if what it read or wrote is another now: the pipeline makes it anew.
    """
    from melnb.running.status import read_board, table
    from melnb.runs.store import outputs_root

    root = outputs_root(outputs)
    say("\n".join(table(read_board(root, whole=check))) or f"no runs in {root}")


@main.command()
@click.argument("name", metavar="STAGE/RUN", shell_complete=_RUNS)
@click.option("--outputs", default="", help="The folder of all runs.")
@errors_told
def results(name: str, outputs: str) -> None:
    """Print what a finished run found, and where it lies."""
    from melnb.runs.store import find_run

    stage, _, run = name.partition("/")
    _show(find_run(stage, run, outputs))


def _show(folder: Path) -> None:
    """Print what a finished run found, and its pages, or else its folder."""
    from melnb.running.status import result_name, result_text
    from melnb.tables.documents import read_run

    results = read_run(folder)["results"]
    ends = {f"{key}{end}" for key in results for end in ("_low", "_high")}
    shown = [key for key in results if key not in ends and results[key] != []]
    width = max((len(result_name(key)) for key in shown), default=0)
    for key in shown:
        say(f"{result_name(key):{width}}  {result_text(results, key)}")
    for path in sorted(folder.glob("*.html")) or [folder]:
        click.echo(path)


@main.command()
@click.argument("stage", default="03_train", shell_complete=_STAGES)
@click.option("--sort", default="when", show_default=True, help="A column, or a parameter.")
@click.option("--reverse", is_flag=True, help="The largest first.")
@click.option("--json", "as_json", is_flag=True, help="Every value, for programs.")
@click.option("--outputs", default="", help="The folder of all runs.")
@errors_told
def runs(stage: str, sort: str, reverse: bool, as_json: bool, outputs: str) -> None:
    """Show the finished runs of STAGE side by side, and the parameters in which they differ.

    For example: melnb runs 03_train --sort auc --reverse
    """
    from melnb.running.side_by_side import finished, lines, plain

    table = finished(stage, outputs, sort=sort, reverse=reverse)
    click.echo(plain(table)) if as_json else say("\n".join(lines(table, width=terminal_width())))


@main.command()
@click.argument("first", metavar="STAGE/RUN", shell_complete=_RUNS)
@click.argument("second", metavar="STAGE/RUN", shell_complete=_RUNS)
@click.option("--positive", default="melanoma", show_default=True, help="The class looked for.")
@click.option("--page", is_flag=True, help="Report the first against the second, as a page.")
@click.option("--outputs", default="", help="The folder of all runs.")
@errors_told
def compare(first: str, second: str, positive: str, page: bool, outputs: str) -> None:
    """Say in what two runs differ, and whether one ranks better, on the images that both have.

    For example: melnb compare 04_predict/demo 05_ensemble/demo. A CSV of anyone's may stand for a
    run. The difference of AUC is paired (DeLong), patients counted as one, with its interval. Of
    two segmenters (02c_segment_train, 02d_segment_apply) every measure is compared, paired.
    """
    from melnb import evaluation
    from melnb.running import side_by_side
    from melnb.runs.lookup import find_tables

    say("\n".join(side_by_side.differing(first, second, outputs)))
    masks = side_by_side.masks_of((first, second), outputs)
    if masks:
        from melnb.evaluation.mask_scores import segmenter_comparison

        say("\n".join(side_by_side.mask_differences(segmenter_comparison(*masks))))
        return
    members = evaluation.read_members(find_tables([first, second], outputs), positive=positive)
    cluster = evaluation.cluster_column(next(iter(members.values())))
    row = evaluation.auc_comparison(members, positive=positive, cluster=cluster).iloc[0]
    say(side_by_side.difference(row, positive))
    if page:
        from melnb.running.stage import launch

        parameters = side_by_side.page_parameters(first, second, positive, outputs)
        _show(launch(parameters.stage, parameters=parameters))
    else:
        say(f"curves over each other: melnb compare {first} {second} --page")


@main.command("open")
@click.argument("name", metavar="STAGE/RUN", shell_complete=_RUNS)
@click.option("--outputs", default="", help="The folder of all runs.")
@errors_told
def open_run(name: str, outputs: str) -> None:
    """Open the page of a run in the browser: its report or curves, else its notebook.

    Of a training that is under way the page of its curves looks for news by itself.
    """
    from melnb.runs.store import find_run

    stage, _, run = name.partition("/")
    folder = find_run(stage, run, outputs, unfinished=True)
    page = next((p for k in ("*.html", "notebook.ipynb") for p in sorted(folder.glob(k))), None)
    if page is None:
        raise FileNotFoundError(f"{name} is not finished, and has no page yet: ask again later")
    click.echo(page)
    click.launch(str(page))


@main.command()
@click.argument("report", shell_complete=_RUNS)
@click.option("--run", default="", help="Name of the choice [default: the report's].")
@click.option("--port", default=0, help="Where to listen [default: any that is free].")
@click.option("--browser/--no-browser", default=True, help="Open the page.")
@errors_told
def explore(report: str, run: str, port: int, browser: bool) -> None:
    """Choose a threshold on a page of its own, for a finished REPORT: its folder or its name.

    For example: melnb explore outputs/06_report/demo. The address that is printed is the key: who
    knows it may open the page, from this machine alone.
    """
    from melnb.running.voila import serve

    serve(report, run=run, port=port, open_browser=browser)


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--share", is_flag=True, help="Say what in it could tell a person instead.")
@errors_told
def doctor(folder: Path, share: bool) -> None:
    """Say what ails the shards in FOLDER; exit with 1 if something does.

    Before a folder of outputs is given away: melnb doctor --share outputs/06_report/demo
    """
    if share:
        return _tell_persons(folder)
    from melnb.data.audit.doctor import check_records

    findings = check_records(folder)
    say(findings.to_string(index=False) if len(findings) else f"{folder}: nothing found")
    if len(findings):
        sys.exit(exits.FAILED)


def _tell_persons(folder: Path) -> None:
    """Print a line for each thing that could tell a person; exit with 1 if there is one."""
    from melnb.data.audit.sharing import find_persons

    findings, unread = find_persons(folder)
    for row in findings.itertuples(index=False):
        say(f"{row.file}: {row.kind}, {row.count:,}, such as {row.example}: {row.advice}")
    if unread:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in unread.most_common())
        click.echo(f"not looked into: {kinds}", err=True)
    if len(findings):
        sys.exit(exits.FAILED)
    click.echo(f"{folder}: nothing found")


class _Unread(click.ClickException):
    """Nothing could be checked: another exit code than a finding's."""

    exit_code = exits.UNREAD


@main.command()
@click.argument("names", nargs=-1, required=True, metavar="DATASET | CSV...")
@click.option("--part", default="", help="The column that parts the rows of a CSV: fold, shard …")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")
@errors_told
def check(names: tuple[str, ...], part: str, as_json: bool) -> None:
    """Say whether a prepared DATASET or tables leak: patients, lesions, copies, labels, test rows.

    Of several CSV files each is a part (train.csv test.csv). Exits with 0 if all passes, 1 with
    something to review, 2 with a failure, 3 if nothing could be read. docs/checks.md explains each.
    """
    from melnb.running.check import check_named, findings_lines
    from melnb.tables.findings import FAIL, REVIEW, worst_severity

    try:
        table = check_named(names, part=part)
    except (ValueError, OSError) as error:
        raise _Unread(printable(str(error))) from error
    say("\n".join(findings_lines(table, as_json=as_json)))
    codes = {REVIEW: exits.FAILED, FAIL: exits.CHECK_FAILS}
    sys.exit(codes.get(worst_severity(table), exits.DONE))


def _width(name: str, default: float, measure: str) -> Callable[..., Any]:
    """Make the option that wishes for an interval's width."""
    words = f"Wished, of the interval of {measure}; 0: not planned for."
    return click.option(f"--{name}-width", default=default, show_default=True, help=words)


@main.command("plan-sample")
@click.option("--prevalence", type=float, required=True, help="Of positives where it is tested.")
@click.option("--auc", type=float, required=True, help="Anticipated.")
@click.option("--sensitivity", default=0.9, show_default=True, help="Anticipated.")
@click.option("--specificity", default=0.8, show_default=True, help="Anticipated.")
@_width("auc", 0.1, "AUC")
@_width("sensitivity", 0.1, "sensitivity")
@_width("specificity", 0.1, "specificity")
@_width("slope", 0.2, "the calibration slope")
@_width("ratio", 0.2, "observed / expected")
@click.option("--images-per-patient", default=1.0, show_default=True, help="In the mean.")
@click.option(
    "--positives-per-patient", default=0.0, help="Of one who has any [default: as chance has it]."
)
@click.option("--correlation", type=float, help="Of a patient's images, 0 to 1.")
@click.option("--confidence", default=0.95, show_default=True, help="Of the intervals.")
@errors_told
def plan_sample(**wished: Any) -> None:
    """Say how many images and positives a validation needs.

    For example: melnb plan-sample --prevalence 0.02 --auc 0.9 --images-per-patient 4
    --correlation 0.3
    """
    from melnb.evaluation.statistics.sample_size import sample_plan

    table = sample_plan(**wished)
    shown = dict.fromkeys(("images", "positives", "patients"), "{:,}".format)
    shown |= dict.fromkeys(("anticipated", "width"), "{:g}".format)
    click.echo(table.to_string(index=False, formatters=shown, na_rep=""))


@main.command()
@click.argument("stage", default="", shell_complete=_STAGES)
@errors_told
def stages(stage: str) -> None:
    """List the stages, or the parameters of STAGE: defaults, choices, bounds, contradictions."""
    from melnb.params.catalogue import STAGES, stage_lines

    lines = parameters_of(stage) if stage else stage_lines(STAGES.values(), width=terminal_width())
    click.echo("\n".join(lines))


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh"]))
def completion(shell: str) -> None:
    """Print what makes TAB complete verbs, stages, parameters, their choices, pipelines and runs.

    For example, in ~/.bashrc: eval "$(melnb completion bash)"
    """
    from melnb.running.completion import script

    click.echo(script(shell, main), nl=False)


if __name__ == "__main__":
    main()
