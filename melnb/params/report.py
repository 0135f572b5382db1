"""What 06_report, 06b_explain, 06c_choose, 06d_external and 06e_robustness take."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from melnb.params.base import Confidence, Engine, Name, Parameters, Rules

_OF_CHOICE: Rules = (
    (
        lambda p: p.choose not in ("cost", "youden") and p.at > 1,
        "at {at} is above 1, and every choose but cost and youden wants a share",
    ),
    (
        lambda p: p.choose == "cost" and p.at == 0,
        "choose cost needs at: how many biopsies a miss is worth, 20 say",
    ),
)


def _check_columns(columns: dict[str, str]) -> dict[str, str]:
    ours = (
        "image_id", "truth", "prediction", "fold", "patient_id", "lesion_id", "positive_label",
    )  # fmt: skip
    for name in columns:
        if name not in ours and not name.startswith("p_"):
            raise ValueError(
                f"{name!r} is none of our columns: write ours: theirs, and ours are "
                f"{', '.join(ours)} and p_<class>"
            )
    if "prediction" in columns and any(name.startswith("p_") for name in columns):
        raise ValueError("prediction and p_<class> are both given: leave one of them out")
    return columns


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Runs = Annotated[list[str], BeforeValidator(_listed)]  # one may stand without brackets
ForeignColumns = Annotated[dict[str, str], AfterValidator(_check_columns)]
COLUMNS = "of foreign files, ours: theirs; empty: told by what they hold"

Unit = Annotated[
    Literal["image", "lesion", "patient"],
    Field(description="what is judged; lesion, patient: by the mean of its images"),
]
UnitAverage = Annotated[
    Literal["probability", "logit"], Field(description="over the images of a unit")
]
Calibrator = Literal["none", "temperature", "platt", "beta", "isotonic"]
Criterion = Annotated[
    Literal["sensitivity", "specificity", "ppv", "cost", "threshold", "youden"],
    Field(description="how the operating point is chosen"),
]
At = Annotated[float, Field(ge=0, description="the wanted value; cost: of a miss, in biopsies")]
Chosen = Annotated[str, Field(description="operating_point.json of a report; wins over choose")]
Smallest = Annotated[
    int, Field(ge=1, description="fewest positives, or others, of a shown subgroup")
]
Costs = dict[str, dict[str, Annotated[float, Field(ge=0)]]]


class Report(Parameters):
    """06_report: ROC, PR, calibration, operating point, subgroups, errors."""

    stage: ClassVar[str] = "06_report"
    shown: ClassVar[tuple[str, ...]] = (
        "run", "predictions", "columns", "dataset", "positive", "calibrator", "choose", "at",
        "chosen", "prevalence", "margin", "unit", "class_decision", "confidence", "smallest",
        "error_rate", "n_errors", "submission", "seed", "outputs",
    )  # fmt: skip
    run: Name = Field("demo", description="name of the result")
    predictions: Runs = Field(
        ["05_ensemble/demo", "04_predict/demo"],
        min_length=1,
        description="runs (stage/run) or CSV files: the first is reported, others compared",
    )
    columns: ForeignColumns = Field({}, description=COLUMNS)
    dataset: str = Field(
        "", description="of 02_prepare, for pictures and people; empty: the predictions' own"
    )
    positive: str = Field("melanoma", description="the class that is looked for")
    # calibration
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the training, to be undone")
    calibrator: Calibrator = Field(
        "none", description="fitted out of fold, applied before all else"
    )
    # the operating point
    choose: Criterion = "sensitivity"
    at: At = 0.9
    chosen: Chosen = Field("", description="operating_point.json of the explorer; wins over choose")
    prevalence: float = Field(0.0, ge=0, lt=1, description="where it will be used; 0: the data's")
    margin: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="of non-inferiority, set before looking; 0: nothing is claimed",
    )
    # what a row is, and what it is called
    unit: Unit = "image"
    unit_average: UnitAverage = "probability"
    class_decision: Literal[
        "argmax", "logit_adjustment", "balanced_accuracy", "macro_f1", "cost"
    ] = Field("argmax", description="how one of many classes is called")
    tau: float = Field(1.0, ge=0, le=10, description="of logit_adjustment; 0: argmax")
    costs: Costs = Field({}, description="truth: {called: cost}; others cost 1, right calls 0")
    # the rest
    confidence: Confidence = 0.95
    smallest: Smallest = 10
    error_rate: float = Field(0.1, gt=0, lt=0.5, description="of conformal prediction sets")
    n_errors: int = Field(12, ge=0, le=100, description="worst errors shown")
    submission: Literal[
        "none", "isic2016", "isic2017", "isic2018", "isic2019", "siim2020", "isic2024"
    ] = Field("none", description="challenge whose measures and file are wanted")
    seed: int = Field(0, ge=0, description="of resampling")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    rules: ClassVar[Rules] = (
        *_OF_CHOICE,
        (
            lambda p: p.class_decision == "cost" and not p.costs,
            "class_decision cost needs costs: {{melanoma: {{nevus: 20}}}}, a miss 20 times as dear "
            "as another error, say",
        ),
    )

    @property
    def title(self) -> str:
        """Of the page and of the card."""
        return f"{self.run}: {self.positive}"

    @property
    def units(self) -> dict[str, Any]:
        """The keywords of `evaluation.by_unit`."""
        return {**_units(self), "positive": self.positive}

    @property
    def calibration(self) -> dict[str, Any]:
        """The keywords of `evaluation.calibrate_run`."""
        fit = {"method": self.calibrator, "smoothing": self.label_smoothing}
        return fit | {"positive": self.positive}

    @property
    def judging(self) -> dict[str, Any]:
        """What the functions of a `display.Report` ask for by name."""
        alike = ("positive", "confidence", "seed", "prevalence", "smallest", "margin", "error_rate")
        named: dict[str, Any] = {"challenge": self.submission, "smoothing": self.label_smoothing}
        named |= {"decide": self.class_decision, "costs": self.costs, "tau": self.tau}
        return self.values_of(alike) | named | _units(self)


class Explain(Parameters):
    """06b_explain: where do predictions come from, and what is that explanation worth?"""

    stage: ClassVar[str] = "06b_explain"
    run: Name = Field("demo", description="name of the result")
    trained: str = Field("demo/fold0", description="of 03_train: run/fold")
    positive: str = Field("melanoma", description="the class that is explained")
    threshold: float = Field(0.5, gt=0, lt=1, description="called positive at or above it")
    # the methods
    layer: str = Field("features", description="Grad-CAM's map: a layer, or backbone/layer")
    score: Literal["logit", "log_odds"] = Field("logit", description="what is explained")
    baseline: Literal["skin", "blurred", "black"] = Field(
        "skin", description="what pictures are compared with"
    )
    steps: int = Field(32, ge=1, le=1024, description="of the integrated gradients")
    # what is looked at
    n_shown: int = Field(6, ge=1, le=12, description="hits, misses and false alarms, of each")
    n_scored: int = Field(100, ge=4, description="images scored, half of them positive")
    cells: int = Field(16, ge=2, le=64, description="on a side of a picture, taken out whole")
    n_checked: int = Field(12, ge=2, description="images explained anew by destroyed networks")
    levels: int = Field(5, ge=2, le=20, description="of destruction, the first the head alone")
    masks: str = Field("", description="folder of lesion masks; empty: the dataset's own")
    # the rest
    confidence: Confidence = 0.95
    batch_size: int = Field(32, ge=1, description="pictures at a time")
    seed: int = Field(0, ge=0, description="of every random choice")
    outputs: str = Field("", description="where runs are written; empty: outputs/")


class Choose(Parameters):
    """06c_choose: by hand, with everything in view, which threshold?"""

    stage: ClassVar[str] = "06c_choose"
    run: Name = Field("demo", description="name of the result")
    report: Name = Field("demo", description="of 06_report, whose predictions are shown")
    groups: list[str] = Field(
        ["sex", "age", "site", "skin_tone"], description="compared, where known"
    )
    picture_size: int = Field(96, ge=16, le=512, description="pixels on a side of the worst errors")
    outputs: str = Field("", description="where runs are written; empty: outputs/")


class External(Parameters):
    """06d_external: does it hold on images of another source?"""

    stage: ClassVar[str] = "06d_external"
    run: Name = Field("demo", description="name of the result")
    predictions: str = Field(
        "04_predict/demo", description="run (stage/run) or CSV file with out-of-fold rows"
    )
    external: Runs = Field(
        ["04_predict/demo-elsewhere"],
        min_length=1,
        description="runs or CSV files of other sources, by the same networks",
    )
    columns: ForeignColumns = Field({}, description=COLUMNS)
    positive: str = Field("melanoma", description="the class that is looked for")
    # calibration
    calibrator: Calibrator = Field(
        "none", description="fitted on internal rows, applied to all sources"
    )
    recalibrator: Literal["temperature", "platt", "beta", "isotonic"] = Field(
        "platt", description="fitted within each source, on its other parts"
    )
    # the operating point
    choose: Criterion = "sensitivity"
    at: At = 0.9
    chosen: Chosen = ""
    prevalence: float = Field(
        0.0, ge=0, lt=1, description="where it will be used; 0: each source's"
    )
    # the rest
    unit: Unit = "image"
    unit_average: UnitAverage = "probability"
    confidence: Confidence = 0.95
    smallest: Smallest = 10
    seed: int = Field(0, ge=0, description="of resampling")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    rules: ClassVar[Rules] = _OF_CHOICE

    @property
    def units(self) -> dict[str, Any]:
        """The keywords of `evaluation.by_unit`."""
        return {**_units(self), "positive": self.positive}


class Robustness(Parameters):
    """06e_robustness: what does the network hang on, besides the lesion?"""

    stage: ClassVar[str] = "06e_robustness"
    run: Name = Field("demo", description="name of the result")
    predict_run: Name = Field("demo", description="of 04_predict: its networks, images and looks")
    looks: Literal["all", "first"] = Field(
        "first", description="at each picture: those of the predictions, or the first alone"
    )
    positive: str = Field("melanoma", description="the class that is looked for")
    # what is done to which pictures
    rows: int = Field(200, ge=0, description="images, of whole patients; 0: all out of fold")
    corruptions: Runs = Field([], description="by name; empty: all")
    strengths: list[Annotated[int, Field(ge=1, le=5)]] = Field(
        [1, 3, 5], min_length=1, description="of each, 1 to 5"
    )
    pull_at: int = Field(3, ge=1, le=5, description="strength at which pulls are told, or nearest")
    engine: Engine = "keras"
    # calibration and the operating point
    calibrator: Calibrator = Field(
        "none", description="fitted on clean rows out of fold, applied to all"
    )
    choose: Criterion = Field(
        "sensitivity", description="how the operating point is chosen, on clean rows"
    )
    at: At = 0.9
    chosen: Chosen = ""
    # the rest
    confidence: Confidence = 0.95
    smallest: Smallest = Field(10, description="fewest positives, or others, of a group")
    seed: int = Field(0, ge=0, description="of corruptions, of the images drawn, of resampling")
    outputs: str = Field("", description="where runs are written; empty: outputs/")

    rules: ClassVar[Rules] = _OF_CHOICE

    @property
    def grid(self) -> dict[str, Any]:
        """The keywords of `models.predict_corrupted` that say what is done to pictures."""
        return self.values_of(("corruptions", "strengths", "seed"))

    @property
    def file(self) -> str:
        """The file of a run of 04_predict that holds predictions by these looks."""
        return "single.csv" if self.looks == "first" else "predictions.csv"

    @property
    def other_looks(self) -> dict[str, Any]:
        """What is looked at otherwise than in the run of 04_predict."""
        return {"views": "none"} if self.looks == "first" else {}


def _units(p: Report | External) -> dict[str, Any]:
    return {"unit": p.unit, "average": p.unit_average}
