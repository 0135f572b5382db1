from pathlib import Path

import pytest

from melnb.params import catalogue
from melnb.runs.provenance import identity


def test_the_later_wins(tmp_path: Path) -> None:
    first, second = tmp_path / "a.yaml", tmp_path / "b.yaml"
    first.write_text("fold: 1\nepochs: 3\n")
    second.write_text("epochs: 4\nlearning_rate: 1e-3\n")  # YAML reads 1e-3 as a text
    p = catalogue.read_parameters("03_train", [first, second], ["fold=2"])
    assert isinstance(p, catalogue.Train)
    assert (p.fold, p.epochs, p.learning_rate, p.backbone) == (2, 4, 1e-3, "tiny")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch=3", r"unknown parameter 'epoch'; did you mean 'epochs'\?"),
        ("zzz=3", "unknown parameter 'zzz'; known: dataset"),
        ("epochs=0", r"epochs: .*greater than or equal to 1 \(received 0\)"),
        ("loss=focl", r"loss: .*'cross_entropy', 'focal', .* \(received 'focl'\)"),
        ("run=../../x", r"run: .*match pattern"),
        ("final_rate=1", "final_rate 1.0 is above learning_rate"),
        ("fold", "'fold' is not key=value"),
        ("params/mine.yaml", r"is not key=value \(write -f params/mine.yaml, if it is a file"),
    ],
)
def test_a_refusal_names_the_parameter_and_the_value(text: str, message: str) -> None:
    with pytest.raises(catalogue.ParameterError, match=message):
        catalogue.read_parameters("03_train", overrides=[text])


def test_a_stage_or_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(
        catalogue.ParameterError, match=r"no stage '3_train'; did you mean '03_train'"
    ):
        catalogue.stage_class("3_train")
    (tmp_path / "a.yaml").write_text("- 1\n")
    with pytest.raises(
        catalogue.ParameterError, match=r"no parameter file .*in that folder: a.yaml"
    ):
        catalogue.read_yaml(tmp_path / "b.yaml")
    with pytest.raises(catalogue.ParameterError, match="holds list, not a mapping"):
        catalogue.read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"head": "arcface", "mixup": 0.5}, "head arcface needs one true class .* mixtures of two"),
        ({"head": "arcface", "pseudo": "a"}, "pseudo labels are shares of all"),
        ({"head": "arcface", "loss": "soft_f1"}, "use loss cross_entropy or focal, not soft_f1"),
        ({"mixup": 0.6, "cutmix": 0.5}, "sum to more than 1"),
        ({"dropout": 0.0, "dropout_samples": 2}, "nothing is dropped"),
        ({"hard_start": 0.5, "hard_end": 0.4}, "hard_start 0.5 is after hard_end 0.4"),
        ({"oversample": {"melanoma": 7}}, "needs sampling oversample, not natural"),
        ({"sampling": "oversample"}, "needs oversample to name classes"),
        ({"external_share": 0.1}, "external names no dataset"),
        ({"external_drop": ["nevus"]}, "external names no dataset"),
        ({"pseudo_share": 0.1}, "pseudo names no run"),
        ({"sizes": [48]}, r"sizes \[48\] and size_epochs \[\] are not as many"),
        ({"sizes": [48], "size_epochs": [6]}, r"size_epochs \[6\] leave nothing of epochs 6 for"),
        ({"frozen_epochs": 7}, "frozen_epochs 7 are more than epochs 6"),
        ({"frozen_blocks": 1}, "frozen_blocks 1 are given, but no frozen_epochs"),
        ({"swa_start": 7}, "swa_start 7 is after the last of epochs 6"),
        ({"keep": "swa"}, "keep swa needs swa_start"),
        ({"keep": "snapshots"}, "keep snapshots needs snapshots"),
        ({"snapshots": True}, "need schedule cosine_restarts, not one_cycle"),
        ({"schedule": "plateau", "decay": 1.0}, "plateau falls by decay, which must not be 1"),
        (
            {"schedule": "plateau", "sizes": [48], "size_epochs": [1], "scale_batch": True},
            "plateau has one rate for all batches",
        ),
        ({"final_rate": 1.0}, "final_rate 1.0 is above learning_rate"),
    ],
)
def test_switches_that_cannot_be_together_are_refused(
    given: dict[str, object], reason: str
) -> None:
    with pytest.raises(catalogue.ParameterError, match=reason):
        catalogue.Train.check(given)


def test_other_stages_refuse_what_has_no_meaning() -> None:
    with pytest.raises(catalogue.ParameterError, match="used as they are: leave cleaning"):
        catalogue.Prepare.check({"source": "kaggle_tfrecords", "cleaning": "hairs"})
    with pytest.raises(catalogue.ParameterError, match=r"low 0.8 is not below high 0.7"):
        catalogue.PseudoLabel.check({"low": 0.8})
    with pytest.raises(catalogue.ParameterError, match=r"masks_of demo is the run itself: name"):
        catalogue.SegmentApply.check({"masks_of": "demo"})
    with pytest.raises(catalogue.ParameterError, match=r"lowest 1.0 is not below highest 1.0"):
        catalogue.FindLr.check({"lowest": 1.0})


def test_members_and_weights_must_agree() -> None:
    with pytest.raises(
        catalogue.ParameterError, match=r"weights \[1.0\] are not as many as members"
    ):
        catalogue.Ensemble.check({"members": ["a", "b"], "method": "weighted", "weights": [1.0]})
    with pytest.raises(catalogue.ParameterError, match=r"weights need method .* not mean"):
        catalogue.Ensemble.check({"members": ["a"], "weights": [1.0]})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"sizes": [32]}, "give each size its epochs"),
        ({"sizes": [32], "size_epochs": [8]}, "leave nothing of epochs 8 for image_size"),
        ({"frozen_epochs": 9}, "frozen_epochs 9 are more than epochs 8"),
        ({"frozen_blocks": 1}, "frozen_blocks 1 are given, but no frozen_epochs"),
        ({"hard_start": 0.8, "hard_end": 0.2}, r"hard_start 0.8 is after hard_end 0.2"),
        ({"swa_start": 9}, "swa_start 9 is after the last of epochs 8"),
        ({"keep": "swa"}, "keep swa needs swa_start"),
        ({"keep": "snapshots"}, "keep snapshots needs snapshots"),
        ({"snapshots": True}, "need schedule cosine_restarts, not one_cycle"),
        ({"schedule": "plateau", "decay": 1.0}, "plateau falls by decay, which must not be 1"),
        (
            {"schedule": "plateau", "sizes": [32], "size_epochs": [1], "scale_batch": True},
            "plateau has one rate for all batches",
        ),
        ({"final_rate": 1.0}, "final_rate 1.0 is above learning_rate"),
    ],
)
def test_a_segmenter_is_told_what_can_be_done(given: dict[str, object], reason: str) -> None:
    with pytest.raises(catalogue.ParameterError, match=reason):
        catalogue.SegmentTrain.check(given)


def test_pictures_come_from_one_source() -> None:
    with pytest.raises(
        catalogue.ParameterError, match=r"applied crop names its pictures in its table"
    ):
        catalogue.Prepare.check({"applied": "crop", "folder": "raw"})
    assert catalogue.Prepare.check({"applied": "crop"})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (
            {"select": "greedy", "method": "logistic"},
            "what select greedy takes is blended by method mean or rank",
        ),
        ({"select": "exhaustive", "members": [*"abcdefghijklmnopqrs"]}, "takes 18 members at most"),
        (
            {"recipe": "05_ensemble/a", "method": "rank"},
            "05_ensemble/a says how to blend: leave method",
        ),
        ({"recipe": "04_predict/a"}, "write 05_ensemble/<run>"),
    ],
)
def test_a_blend_is_told_once(given: dict[str, object], reason: str) -> None:
    with pytest.raises(catalogue.ParameterError, match=reason):
        catalogue.Ensemble.check(given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"features": []}, "features, feature_tables and score_runs are empty .* name one"),
        ({"estimators": ["forest", "forest"]}, "are not named once each"),
        ({"settings": {"boosting": {}}}, "settings .*boosting.* not among estimators"),
        ({"estimators": ["tree"]}, r"'logistic', 'forest', .* \(received 'tree'\)"),
    ],
)
def test_models_of_tables_need_features_and_names(given: dict[str, object], reason: str) -> None:
    with pytest.raises(catalogue.ParameterError, match=reason):
        catalogue.Metadata.check(given)


@pytest.mark.parametrize("stage", ["06_report", "06d_external"])
def test_a_wanted_operating_point_has_a_meaning(stage: str) -> None:
    with pytest.raises(catalogue.ParameterError, match=r"at 20\.0 is above 1, .* wants a share"):
        catalogue.stage_class(stage).check({"at": 20})
    with pytest.raises(catalogue.ParameterError, match="choose cost needs at: how many"):
        catalogue.stage_class(stage).check({"choose": "cost", "at": 0})
    assert catalogue.stage_class(stage).check({"choose": "cost", "at": 20})


def test_a_notebook_cell_is_read_and_its_slips_are_found() -> None:
    cell = {"In": ["", "fold = 1\nepochs = 2", "fold = 2"], "fold": 2, "epochs": 2, "_x": 1}
    assert catalogue.Train.from_cell(cell).fold == 2
    slip = {**cell, "In": [*cell["In"], "batchsize = 8"], "batchsize": 8}
    with pytest.raises(catalogue.ParameterError, match=r"'batchsize'; did you mean 'batch_size'"):
        catalogue.Train.from_cell(slip)
    # A cell that computes something is not a parameters cell, whatever it names.
    catalogue.Train.from_cell({**cell, "In": [*cell["In"], "rows = len(table)"], "rows": 3})
    catalogue.Train.from_cell(
        {**cell, "In": [*cell["In"], "k = 3"], "k": 3}
    )  # nor is a scratch cell
    injected = {**cell, "In": [*cell["In"], "# Parameters\nk = 3\n"], "k": 3}
    with pytest.raises(catalogue.ParameterError, match="unknown parameter 'k'"):
        catalogue.Train.from_cell(injected)
    with pytest.raises(
        catalogue.ParameterError, match="no parameter is set: run the parameters cell"
    ):
        catalogue.Train.from_cell({"In": ["from melnb import params"]})


class Notebook:
    """A kernel in which cells are run one by one."""

    def __init__(self, *cells: str) -> None:
        self.names: dict[str, object] = {"In": [""]}
        for cell in cells:
            self.run(cell)

    def run(self, cell: str) -> None:
        self.names["In"].append(cell)  # type: ignore[attr-defined]
        exec(cell, self.names)

    def settle(self) -> catalogue.Ensemble:
        return catalogue.Ensemble.from_cell(self.names)


ALL = "\n".join(f"{name} = {value!r}" for name, value in catalogue.Ensemble().plain().items())


@pytest.mark.parametrize(
    ("cell", "name", "now"),
    [
        ("run = object()", "run", "a object"),
        ("seed = 2 * seed + 16", "seed", "16"),  # of the right type
        ("for seed in range(3): pass", "seed", "2"),
        ("weights += [0.5]", "weights", r"\[0.5\]"),
        ("members.append('b')", "members", r"\['04_predict/demo', 'b'\]"),
        ("import math as method", "method", "a module"),
        ("shared_only = 0", "shared_only", ""),  # plain: somebody means it
    ],
)
def test_what_took_a_parameters_name_is_no_parameter(cell: str, name: str, now: str) -> None:
    notebook = Notebook(ALL, "p = None", cell)
    if not now:
        assert notebook.settle() == catalogue.Ensemble()
        return
    with pytest.raises(catalogue.ParameterError, match=f"{name}: a cell set it to .* it is {now}"):
        notebook.settle()
    notebook.run(ALL)
    assert notebook.settle() == catalogue.Ensemble()


def test_the_last_plain_value_of_a_name_is_the_one_that_is_meant() -> None:
    notebook = Notebook(ALL, "# Parameters\nseed = 4\nrun = 'b'\n")
    assert notebook.settle().seed == notebook.settle().seed == 4
    notebook.run("seed: int = 5\nprint(seed)")
    assert (notebook.settle().seed, notebook.settle().run) == (5, "b")
    notebook.run(ALL)
    assert notebook.settle() == catalogue.Ensemble()
    notebook.run(ALL.replace("seed = 0", "seed = 3 * 2"))  # computed in the parameters cell itself
    assert notebook.settle().seed == 6


def test_a_slip_that_was_mended_is_forgotten() -> None:
    notebook = Notebook(ALL.replace("method", "methd"))
    with pytest.raises(catalogue.ParameterError, match="'methd'; did you mean 'method'"):
        notebook.settle()
    notebook.run(ALL)
    assert notebook.settle() == catalogue.Ensemble()
    notebook.run("sead = 2")
    with pytest.raises(catalogue.ParameterError, match="'sead'; did you mean 'seed'"):
        notebook.settle()
    notebook.run("del sead")
    assert notebook.settle() == catalogue.Ensemble()


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(catalogue.ParameterError, match=r"finite number \(received inf\)"):
        catalogue.Train.check({"learning_rate": float("inf")})


@pytest.mark.parametrize("stage", catalogue.STAGES)
def test_defaults_pass_their_own_bounds_and_survive_papermill(stage: str) -> None:
    cls = catalogue.STAGES[stage]
    values = cls().plain()
    assert cls.check(values) == cls()
    for name, value in values.items():
        assert value is not None, name
        assert isinstance(value, str | int | float | bool | list | dict), name
        assert cls.model_fields[name].description, name


HIDDEN = [
    name for name in catalogue.Train.model_fields if name not in catalogue.Train.cell_fields()
]
SHOWN = "\n".join(f"{n} = {catalogue.Train().plain()[n]!r}" for n in catalogue.Train.cell_fields())


def train_cells(*cells: str) -> catalogue.Train:
    notebook = Notebook(*cells)
    return catalogue.Train.from_cell(notebook.names)


def test_a_switch_that_no_cell_shows_arrives_by_every_way_in(tmp_path: Path) -> None:
    assert {"hard_share", "noise", "decay"} <= {*HIDDEN}
    wanted = catalogue.Train(hard_share=0.5)
    file = tmp_path / "a.yaml"
    file.write_text("hard_share: 5e-1\n")
    assert catalogue.read_parameters("03_train", [file]) == wanted
    assert catalogue.read_parameters("03_train", overrides=["hard_share=0.5"]) == wanted
    assert train_cells(SHOWN, "# Parameters\nhard_share = 0.5\n") == wanted
    for typed in ("hard_share = 0.5", "hard_share = 1 / 2", "hard_share = 0.5\nprint(hard_share)"):
        assert train_cells(SHOWN, typed) == wanted, typed
    assert train_cells(SHOWN + "\nhard_share = 1 / 2") == wanted
    assert train_cells(SHOWN, "hard_share = 0.5", SHOWN) == wanted, "the cell does not show it"
    assert wanted.injected() == {**catalogue.Train().injected(), "hard_share": 0.5}
    assert str(wanted) == "differs from the defaults: hard_share 0.5"


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("hard_shar = 0.5", "'hard_shar'; did you mean 'hard_share'"),
        ("hard_share = 0.5\nhard_share *= 2", "hard_share: a cell set it to 0.5, and it is 1.0"),
        ("for noise in range(3): pass", "noise is 2, and no cell set it as a parameter"),
        ("import math as decay", "decay is a module, and no cell set it"),
        ("hard_share = 7", "hard_share: .*less than or equal to 1"),
    ],
)
def test_what_took_the_name_of_a_switch_that_no_cell_shows_is_refused(
    cell: str, message: str
) -> None:
    with pytest.raises(catalogue.ParameterError, match=message):
        train_cells(SHOWN, cell)


@pytest.mark.parametrize("stage", catalogue.STAGES)
def test_every_field_lies_in_one_part_and_every_rule_can_be_read(stage: str) -> None:
    cls = catalogue.STAGES[stage]
    fields = [name for names in cls.parts().values() for name in names]
    assert sorted(fields) == sorted(cls.model_fields)
    values = cls().plain()
    for part in cls.parts():
        assert (part.__doc__ or "").strip()
        for wrong, text in vars(part).get("rules", ()):
            assert wrong(cls()) in (False, 0)
            assert text.format_map(values)


PARAMS = Path(__file__).parents[2] / "params"


@pytest.mark.parametrize("path", sorted(PARAMS.glob("*.yaml")), ids=lambda p: p.name)
def test_every_file_in_git_is_accepted_and_says_what_it_is_for(path: Path) -> None:
    head = path.read_text(encoding="utf-8").split("\n\n")[0]
    assert head.startswith("# ")
    assert "# Command:" in head
    assert "# Hardware:" in head
    if not path.stem.endswith(".pipeline"):
        catalogue.read_parameters(path.name.split(".")[0], [path])


def test_columns_of_foreign_files_are_ours_to_theirs() -> None:
    report = catalogue.Report.check(
        {"predictions": "b1.csv", "columns": {"truth": "y", "p_nv": "2"}}
    )
    assert report.predictions == ["b1.csv"], "one may stand without brackets"
    assert report.columns == {"truth": "y", "p_nv": "2"}
    with pytest.raises(
        catalogue.ParameterError, match="'label' is none of our columns: write ours"
    ):
        catalogue.Ensemble.check({"columns": {"label": "y"}})
    with pytest.raises(catalogue.ParameterError, match="leave one of them out"):
        catalogue.External.check({"columns": {"prediction": "y", "p_melanoma": "x"}})


def test_a_run_of_all_rows_chooses_nothing() -> None:
    assert catalogue.Train.check({"fold": "none", "keep": "last"}).judged is None
    assert catalogue.Train.check({"fold": 2}).judged == 2
    for change in ({"keep": "best"}, {"patience": 2}, {"schedule": "plateau"}):
        with pytest.raises(catalogue.ParameterError, match="fold none holds nothing out"):
            catalogue.Train.check({"fold": "none", "keep": "last"} | change)
    with pytest.raises(catalogue.ParameterError, match="networks that have not met the fold"):
        catalogue.Train.check({"fold": "none", "keep": "last", "pseudo": "p"})
    with pytest.raises(catalogue.ParameterError, match="keep last ends at the last of epochs"):
        catalogue.Train.check({"keep": "last", "patience": 1})
    with pytest.raises(catalogue.ParameterError, match="fold"):
        catalogue.Train.check({"fold": -1})


FOUNDING = {
    "rotation": 180.0, "shear": 2.0, "zoom": 0.125, "shift": 0.016, "flips": True,
    "brightness": 0.2, "contrast": 0.2, "saturation": 0.3, "hue": 0.0,
}  # fmt: skip


def test_the_preset_of_old_is_every_default_and_none_is_nothing() -> None:
    fields = catalogue.Train.model_fields
    light = catalogue.Train(augmentation="light")
    assert light == catalogue.Train()
    assert light.strengths == {name: fields[name].default for name in light.strengths}
    nothing = catalogue.Train(augmentation="none").strengths
    assert not any({**nothing, "randaugment_magnitude": 0}.values())
    assert {name: type(value) for name, value in nothing.items()} == {
        name: type(value) for name, value in light.strengths.items()
    }


def test_medium_is_what_the_founding_systems_used_and_their_set_learns_as_before() -> None:
    others = {n: v for n, v in catalogue.Train().strengths.items() if n not in FOUNDING}
    file = Path(__file__).parents[2] / "params" / "03_train.siim2020.yaml"
    for values in (
        catalogue.Train(augmentation="medium"),
        catalogue.read_parameters("03_train", [file]),
    ):
        assert isinstance(values, catalogue.Train)
        assert values.strengths == FOUNDING | others


@pytest.mark.parametrize("preset", ["none", "light", "medium", "strong"])
@pytest.mark.parametrize("given", [{}, {"shear": 5.0, "clahe": 2.0}, {"hue": 0.02, "flips": False}])
def test_a_strength_that_is_given_wins_and_is_told_from_the_preset(
    preset: str, given: dict[str, object]
) -> None:
    plain = catalogue.Train.check({"augmentation": preset})
    values = catalogue.Train.check({"augmentation": preset, **given})
    assert values.strengths == plain.strengths | given
    word = {} if preset == "light" else {"augmentation": preset}
    other = {name: v for name, v in given.items() if plain.strengths[name] != v}
    assert values.differences() == word | other
    assert catalogue.Train.check(values.injected()) == values  # by papermill, into the kernel
    assert catalogue.Train.recorded(values.plain()) == values
    assert train_cells(SHOWN, f"augmentation = {preset!r}", repr_cell(given)) == values


def repr_cell(given: dict[str, object]) -> str:
    return "# Parameters\n" + "\n".join(f"{name} = {value!r}" for name, value in given.items())


def test_a_run_of_before_the_presets_is_the_one_that_its_strengths_make() -> None:
    now = catalogue.Train(augmentation="medium")
    before = {name: value for name, value in now.plain().items() if name != "augmentation"}
    again = catalogue.Train.recorded(before)
    assert again.strengths == now.strengths
    assert identity(before) == identity(now.plain()) == identity(again.plain())
    assert identity(catalogue.Train().plain()) != identity(now.plain())


def test_a_preset_that_is_none_is_refused() -> None:
    with pytest.raises(catalogue.ParameterError, match=r"augmentation: .*'light', 'medium'"):
        catalogue.Train.check({"augmentation": "heavy"})
    with pytest.raises(catalogue.ParameterError, match=r"shear: .*less than or equal to 45"):
        catalogue.Train.check({"augmentation": "medium", "shear": 60})
