"""A text is what was typed, on every way in; YAML 1.1 and papermill would make numbers of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st

from melnb.params import catalogue, scalars
from melnb.running.pipeline import read_pipeline

NAMES = ["0123", "1.10", "1e-3", "1_000", "0x1F", "2020-01-01", "on", "no", "null", "True", "007.5"]
PLACES = [*NAMES, "1:30", "~", "=", "a=b", "Mälä", "a b", "C:\\x", "it's"]


def written(way: str, name: str, text: str, folder: Path) -> str:
    """Give a text to 02_prepare, and return what it takes."""
    file = folder / "a.yaml"
    if way == "key=value":
        found = catalogue.read_parameters("02_prepare", overrides=[f"{name}={text}"])
    elif way == "file":
        file.write_text(f"{name}: {text}\n", encoding="utf-8")
        found = catalogue.read_parameters("02_prepare", [file])
    else:
        plans = {
            "set": f"set: {{{name}: {text}}}\nstages: [02_prepare]",
            "with": f"stages:\n- 02_prepare:\n    with:\n      {name}: {text}",
            "stage file": f"stages:\n- 02_prepare: {folder}/b.yaml",
            "pipeline key=value": "stages: [02_prepare]",
            "stage.key=value": "stages: [02_prepare]",
        }
        (folder / "b.yaml").write_text(f"{name}: {text}\n", encoding="utf-8")
        file.write_text(plans[way], encoding="utf-8")
        pairs = {"pipeline key=value": f"{name}={text}"}
        pairs["stage.key=value"] = f"02_prepare.{name}={text}"
        found = read_pipeline(file, [pairs[way]] if way in pairs else []).jobs[0].parameters
    return str(found.plain()[name])


WAYS = ["key=value", "file", "set", "with", "stage file", "pipeline key=value", "stage.key=value"]


@pytest.mark.parametrize("way", WAYS)
def test_a_text_is_what_was_typed(way: str, tmp_path: Path) -> None:
    assert {text: written(way, "dataset", text, tmp_path) for text in NAMES} == {
        text: text for text in NAMES
    }
    assert [written(way, "folder", text, tmp_path) for text in PLACES] == PLACES
    assert written(way, "folder", '"0123"', tmp_path) == "0123"  # quotes are YAML's everywhere
    assert written(way, "folder", "' a '", tmp_path) == " a "
    assert written(way, "folder", "  a ", tmp_path) == "a"


@pytest.mark.parametrize(
    "text", ["@x", "[a]", "{a: b}", "*x", "&x", "!x", "%x", "`x", "a: b", "#a"]
)
def test_what_is_no_yaml_is_a_text_on_the_command_line(text: str) -> None:
    assert catalogue.read_parameters("02_prepare", overrides=[f"folder={text}"]).plain()[
        "folder"
    ] == (text)


@pytest.mark.parametrize(
    ("stage", "pair", "value"),
    [
        ("05_ensemble", "members=[03_train/0123, 04_predict/1.10]", None),
        ("05_ensemble", "members=[0123, 1:30, no]", ["0123", "1:30", "no"]),
        ("01_explore", "columns={target: 0123, 07: ~}", {"target": "0123", "07": "~"}),
        ("03_train", "class_weights={0: 1e-1, 1.10: 2}", {"0": 0.1, "1.10": 2.0}),
        ("03_train", "class_weights=balanced", "balanced"),
        ("03_train", "external=[2019, 1e3]", ["2019", "1e3"]),
        ("03_train", "jit_compile=true", "true"),
        ("03_train", "fold=010", 10),  # 8 in YAML
        ("03_train", "learning_rate=1e-3", 1e-3),  # a text in YAML
        ("02c_segment_train", "finest=02", 2),
        ("02_prepare", "image_sizes=[064, 1_28]", [64, 128]),
        ("02_prepare", "measure=off", False),
        ("03c_metadata", "settings={logistic: {C: 1e-3, solver: newton-cg}}",
         {"logistic": {"C": 1e-3, "solver": "newton-cg"}}),
        ("03b_find_lr", "change=[run=0123, epochs=2]", ["run=0123", "epochs=2"]),
    ],
)  # fmt: skip
def test_lists_mappings_and_numbers_are_what_their_fields_want(
    stage: str, pair: str, value: object
) -> None:
    name, _, text = pair.partition("=")
    made = catalogue.read_parameters(stage, overrides=[pair]).plain()[name]
    assert made == (text.strip("[]").split(", ") if value is None else value)


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("fold=1:30", r"fold: .*integer.* \(received '1:30'\)"),  # 90 in YAML
        ("epochs=yes", r"epochs: .*integer.* \(received 'yes'\)"),  # 1 in pydantic
        ("run=1:30", r"run: a name is letters, digits and .* \(received '1:30'\)"),
        ("run=my run", r"run: a name is letters, .* \(my_run, say\); .*\(received 'my run'\)"),
        ("run=../x", r"run: a name is letters, .* \(x, say\)"),
        ("run=..", r"run: a name is letters, digits and _ . \+ -, the first of them no sign; "),
        ("run=#1", r"\(1, say\)"),
        ("run=", r"run: a name is letters, .*\(received ''\)"),
        (f"run={'a' * 101}", r"run: .* at most 100 characters"),
        ("external=[@x]", r"external: '\[@x\]' is no list or mapping .*'@' .*: write \[a, b\]"),
        ("external=a", r"external: .*valid list \(received 'a'\)"),
        ("class_weights={a", r"class_weights.*\(received '\{a'\)"),
    ],
)
def test_what_fits_no_field_is_shown_as_it_was_typed(pair: str, message: str) -> None:
    with pytest.raises(catalogue.ParameterError, match=message):
        catalogue.read_parameters("03_train", overrides=[pair])


def test_names_of_techniques_seeds_and_stages_are_texts_too(tmp_path: Path) -> None:
    plan = tmp_path / "a.yaml"
    plan.write_text(
        "set: {dataset: 0123}\nstages:\n- 02_prepare: null\n"
        "- 03_train: {folds: [00, 01], seeds: [007], each: {1.10: {}, 010: {epochs: 010}}}\n"
    )
    jobs = {job.key: job.parameters.plain() for job in read_pipeline(plan).jobs}
    assert list(jobs) == [
        "02_prepare/0123", "03_train/1.10-s7/fold0", "03_train/1.10-s7/fold1",
        "03_train/010-s7/fold0", "03_train/010-s7/fold1",
    ]  # fmt: skip
    assert jobs["03_train/010-s7/fold1"]["epochs"] == 10
    assert jobs["03_train/010-s7/fold1"]["dataset"] == "0123"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run: a\nrun: b", "'run' is given again: keep one"),
        ("run: [a", "cannot be read as YAML: .*line 1"),
        ("a: !!python/object:os.system {}", "cannot be read as YAML: .*python/object"),
        pytest.param("[" * 9000, "brackets are too deep", id="brackets"),
        ("", "holds nothing, not a mapping"),
        ("a", "holds text, not a mapping"),
        (b"run: \xe4", "no text in UTF-8 .at byte 5.: save it so"),
        ("run: a\n---\nrun: b", "cannot be read as YAML: .*document"),
    ],
)
def test_a_file_that_is_no_mapping_is_named(
    content: str | bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(catalogue.ParameterError, match=rf"(?s){path} .*{message}"):
        catalogue.read_parameters("03_train", [path])


def test_yaml_of_any_editor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    for codec in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes("base: &a {run: 0123}\n".replace("base: &a ", "").encode(codec))
        assert catalogue.read_parameters("03_train", [path]).plain()["run"] == "0123"
    assert scalars.read("a: &x {run: 0123}\nb: {<<: *x, fold: 1}")["b"] == {
        "run": "0123", "fold": "1",
    }  # fmt: skip


@given(st.text())
@example("0123")
@example("1:30")
@example("\x85")
@example("'\"\n")
def test_a_pipelines_job_file_and_papermills_cell_give_back_any_text(text: str) -> None:
    from papermill.translators import PythonTranslator

    file = yaml.safe_dump({"folder": text}, sort_keys=False)
    assert catalogue.Explore.settled(scalars.read(file)) == {"folder": text}
    cell = PythonTranslator.codify({"folder": text})
    names: dict[str, object] = {"In": ["", cell]}
    exec(cell, names)
    assert catalogue.Explore.from_cell(names).folder == text


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_number_is_read_back_from_its_text(number: float) -> None:
    assert scalars.settle(scalars.Plain(repr(number)), float) == number
    assert scalars.settle(scalars.read(yaml.safe_dump([number])), list[float]) == [number]


@pytest.fixture
def papermill(project: Path) -> Callable[..., catalogue.Parameters]:
    """Return what 02_prepare takes of papermill's own words, without a kernel."""
    from papermill.cli import papermill as command

    def prepare(*words: str) -> catalogue.Parameters:
        files = ["notebooks/02_prepare.ipynb", "out.ipynb"]
        done = CliRunner().invoke(command, [*files, *words, "--prepare-only", "--no-progress-bar"])
        assert done.exit_code == 0, done.output
        cells = json.loads((project / "out.ipynb").read_text())["cells"]
        names: dict[str, object] = {"In": [""]}
        for cell in cells:
            if {"parameters", "injected-parameters"} & set(cell["metadata"].get("tags", ())):
                source = "".join(cell["source"])
                names["In"].append(source)  # type: ignore[attr-defined]
                exec(source, names)
        return catalogue.Prepare.from_cell(names)

    return prepare


def test_papermill_takes_a_text_raw_and_in_quotes(
    papermill: Callable[..., catalogue.Parameters], project: Path
) -> None:
    (project / "a.yaml").write_text("dataset: '0123'")
    for words in (["-r", "dataset", "0123"], ["-y", "{dataset: '0123'}"], ["-f", "a.yaml"]):
        assert papermill(*words).plain()["dataset"] == "0123"
    assert papermill("-y", "{dataset: 2020-01-01}", "-p", "rows", "010").plain()["rows"] == 10


@pytest.mark.parametrize(
    ("words", "received"),
    [
        (["-p", "dataset", "0123"], "123"),
        (["-p", "dataset", "1.10"], "1.1"),
        (["-p", "dataset", "1_0"], "10"),
        (["-p", "dataset", "None"], "None"),
        (["-p", "dataset", "True"], "True"),
        (["-y", "{dataset: 0123}"], "83"),
        (["-y", "{dataset: 1:30}"], "90"),
        (["-y", "{dataset: no}"], "False"),
        (["-y", "{columns: {target: 0123}}"], "83"),
    ],
)
def test_what_papermill_made_a_number_of_is_refused(
    papermill: Callable[..., catalogue.Parameters], words: list[str], received: str
) -> None:
    remedy = r"a text is wanted, and a .* came, .*in quotes in a cell and in papermill's YAML"
    with pytest.raises(catalogue.ParameterError, match=rf"{remedy}.* \(received {received}\)"):
        papermill(*words)


def test_a_text_that_papermill_takes_for_no_number_is_refused(
    papermill: Callable[..., catalogue.Parameters],
) -> None:
    with pytest.raises(
        catalogue.ParameterError, match=r"dataset: a cell set it to 'demo', and .* nan"
    ):
        papermill("-p", "dataset", "nan")
