"""Findings: numbered checks of a dataset (data leakage, shortcuts, label noise), and what they say.

A check says PASS, REVIEW (a person should look), FAIL (a number measured on this is not to be
believed), or that it was not made and what it needs. It never changes anything.
`docs/checks.md` is made of this list.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

PASS, REVIEW, FAIL, NOT_CHECKED = "PASS", "REVIEW", "FAIL", "not checked"
SEVERITIES = (FAIL, REVIEW, NOT_CHECKED, PASS)  # the worst first
NOT_ASKED = "not asked"
EMBED = "run 03d_embed on this dataset, then 02b_audit with its run as embeddings"
FINDING_COLUMNS = ("code", "check", "severity", "rows", "evidence", "remedy")


class Check(NamedTuple):
    """A numbered question to a dataset.

    Attributes:
        code: `MEL001` …, which stays with the question for good.
        name: A few words.
        asks: What is looked for, and by which rule it passes.
        costs: What it costs where nobody looks.
        remedy: What to do first.
    """

    code: str
    name: str
    asks: str
    costs: str
    remedy: str


CHECKS: dict[str, Check] = {
    check.code: check
    for check in (
        Check(
            "MEL001",
            "a patient in two parts",
            "Does a patient have images in two folds, shards or files? FAIL if one does.",
            "A patient's lesions, skin and camera are alike: a model that has met them is judged "
            "on what it knows. Of SIIM-ISIC 2020's patients 99.3 % straddle five folds of images.",
            "cut the folds by patient: run 02_prepare with patient_id, or a grouped splitter",
        ),
        Check(
            "MEL002",
            "a lesion in two parts",
            "Does a lesion have images in two folds, shards or files? FAIL if one does.",
            "Pictures of one lesion are nearly the same picture: of HAM10000's 10,015 images "
            "4,501 share their lesion with another.",
            "cut the folds by lesion: run 02_prepare with lesion_id, or a grouped splitter",
        ),
        Check(
            "MEL003",
            "an image in two parts",
            "Does an image stand in two folds, shards or files, under its own name or one that "
            "differs by folder, suffix, case or `_downsampled`? FAIL if one does.",
            "What was learnt by heart is asked for.",
            "keep one row of each image",
        ),
        Check(
            "MEL004",
            "copies of a picture",
            "Are two pictures equal byte for byte, or pixel for pixel, under two names? FAIL if "
            "such copies lie in two parts, REVIEW if they lie in one.",
            "A copy in another fold is a leak that no id shows; one in the same fold counts twice.",
            "02_prepare keeps equal files in one fold; leave out copies that count twice",
        ),
        Check(
            "MEL005",
            "copies with two labels",
            "Do copies of a picture (by name, bytes or pixels) differ in their target? FAIL if "
            "they do. Do images of one lesion? REVIEW.",
            "One of the two labels is wrong, and nothing learnt from both can be right twice.",
            "look at the pictures and settle the label at its source",
        ),
        Check(
            "MEL006",
            "up-sampled before the split",
            "Are rows of one class repeated far more often than those of the others? FAIL if the "
            "repeats lie in two parts, REVIEW if in one or if no parts are known.",
            "A repeated row on both sides of a split is recited: on SIIM-ISIC 2020 a forest that "
            "knows age, sex, site and size goes from an AUC of .750 to .987.",
            "split first, then up-sample the training rows alone (`sampling` of 03_train)",
        ),
        Check(
            "MEL007",
            "the order of rows tells the label",
            "Does the place of a row in its table tell its target? REVIEW if the AUC of the row's "
            "number is below .4 or above .6.",
            "A split by position (the first 80 %) then parts the classes, a stream that is not "
            "shuffled learns one class after the other, and ids that count the rows are labels.",
            "shuffle before any split by position; never use a row's number or id as a feature",
        ),
        Check(
            "MEL008",
            "test rows among training",
            "Does an image, lesion, patient or copy of the test rows stand among the others? FAIL "
            "if one does.",
            "The test measures memory.",
            "`test_overlap` leave_out of `02_prepare` leaves them out of training, and says so",
        ),
        Check(
            "MEL009",
            "near duplicates",
            "Are two pictures the same after a turn, a crop, a resize, a JPEG or a colour cast? "
            "FAIL if a verified pair lies in two parts, REVIEW if pairs wait to be settled.",
            "No id and no hash of bytes shows them, and folds part them.",
            "look at the pairs, keep those in same_as.csv that are the same, and run 02_prepare "
            "with same_as",
        ),
        Check(
            "MEL010",
            "labels against pictures",
            "Are pictures more often of the class of their nearest neighbours than chance would "
            "have it? FAIL if they are twice as often once the labels are moved by one or two rows "
            "or put in the opposite order, REVIEW if they never are: the labels are in another "
            "order, or the encoder sees nothing of the classes.",
            "Labels that were joined by position to a table in another order teach nothing, and "
            "nothing says so.",
            "join labels to pictures by their id",
        ),
        Check(
            "MEL011",
            "shortcut: the file",
            "Do width, height, proportion, file size or JPEG tables tell the class? REVIEW if the "
            "lower limit of the cross-fitted AUC is above .6, FAIL above .75.",
            "They tell how the set was gathered: on SIIM-ISIC 2020 size and proportion alone get "
            ".79.",
            "bring pictures to one size and quality; report the AUC over this shortcut",
        ),
        Check(
            "MEL012",
            "shortcut: the patient",
            "Do age, sex, site or the number of a patient's images tell the class? REVIEW if the "
            "lower limit of the cross-fitted AUC is above .6, FAIL above .75.",
            "Some of it is medicine and some how patients were chosen: on SIIM-ISIC 2020 age, sex "
            "and site get .68, the number of images alone .72.",
            "report the AUC over this shortcut, and subgroups",
        ),
        Check(
            "MEL013",
            "shortcut: the border",
            "Do the colours of the picture's border, or of all outside a central ellipse, tell "
            "the class? REVIEW if the lower limit of the cross-fitted AUC is above .6, FAIL above "
            ".75.",
            "The border holds the camera, rulers, gel and the skin: a network may learn the "
            "clinic.",
            "train on the lesion alone beside it (02d_segment_apply), and compare other sources",
        ),
        Check(
            "MEL014",
            "the model over the best shortcut",
            "Is the AUC of the predictions given above that of the best shortcut? FAIL if it is "
            "not, REVIEW if the paired interval of the difference reaches 0.",
            "A network that does no better may have learnt no more.",
            "find what the shortcut is, and take it away",
        ),
        Check(
            "MEL015",
            "labels that may be wrong",
            "Does confident learning, on out-of-fold predictions, find more labels in doubt than "
            "1 % of the images? REVIEW if it does; the ranked list is in label_errors.csv.",
            "Wrong labels in training cost accuracy, in a test they cost the truth of the number.",
            "look at them in their order, and settle those that are wrong at their source",
        ),
    )
}


class Finding(NamedTuple):
    """What a check says.

    Attributes:
        code: Of the check.
        severity: PASS, REVIEW, FAIL or `not checked`.
        rows: Images concerned.
        evidence: Numbers and the first ids; of a check not made, why.
        remedy: What to do; empty: the check's own.
    """

    code: str
    severity: str
    rows: int
    evidence: str
    remedy: str = ""


def findings_table(findings: Iterable[Finding], *, every: bool = True) -> pd.DataFrame:
    """Return what checks say, one row or more for each, in the order of their numbers.

    Args:
        findings: Of the checks that were made.
        every: Whether checks of which nothing is said stand there as not checked.

    Raises:
        ValueError: A code or a severity is none of ours.
    """
    rows = []
    for finding in findings:
        if finding.code not in CHECKS or finding.severity not in SEVERITIES:
            raise ValueError(f"{finding!r}: no check of that code, or no such severity")
        check = CHECKS[finding.code]
        wanted = "" if finding.severity == PASS else finding.remedy or check.remedy
        rows.append((*finding[:1], check.name, *finding[1:4], wanted))
    table = pd.DataFrame(rows, columns=list(FINDING_COLUMNS)).astype({"rows": "int64"})
    if every:
        lost = [check for code, check in CHECKS.items() if code not in set(table["code"])]
        more = [(c.code, c.name, NOT_CHECKED, 0, NOT_ASKED, "run 02b_audit") for c in lost]
        table = pd.concat([table, pd.DataFrame(more, columns=table.columns)], ignore_index=True)
    return table.sort_values("code", kind="stable", ignore_index=True)


def worst_severity(table: pd.DataFrame) -> str:
    """Return the worst severity of findings; `not checked` is worse than PASS, and no fault."""
    return next((name for name in SEVERITIES if (table["severity"] == name).any()), NOT_CHECKED)


@dataclass(frozen=True)
class Audit:
    """What an audit of a dataset left to those who judge on it.

    Attributes:
        run: `02b_audit/<run>`; empty: none was run.
        findings: As of `findings_table`.
        stale: Why it says nothing of the dataset as it is now; empty: it does.
        shortcuts: Predictions out of fold of what never sees the lesion, by `file`, `patient` and
            `border`; none of a stale one.
    """

    run: str = ""
    findings: pd.DataFrame = field(default_factory=lambda: findings_table([], every=False))
    stale: str = ""
    shortcuts: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What was found: `Audit: 1 FAIL (near duplicates), 1 REVIEW (shortcut: the file).`"""
        if not self.run:
            return ""
        severity = self.findings["severity"]
        parts = [
            f"{(severity == name).sum()} {name} ({'; '.join(dict.fromkeys(names))})"
            for name in (FAIL, REVIEW)
            if len(names := self.findings.loc[severity == name, "check"])
        ]
        checked = self.findings.loc[severity != NOT_CHECKED, "code"].nunique()
        text = ", ".join(parts) or f"nothing found by the {checked} checks that were made"
        old = f" {self.stale[0].upper()}{self.stale[1:]}." if self.stale else ""
        return f"Audit: {text}.{old}"


_PLANTED = (
    "`make_dataset(faults=[...])` plants each of these in synthetic lesions, and the tests see to "
    "it that each makes its own check speak and no other, that a check which cannot but see it "
    "too is named (*also*), and that of a clean set none says anything. MEL014 is asked of "
    "predictions: it fails where they rank no better than a shortcut.\n\n"
    "To try the auditor on one: `melnb run 02_prepare dataset=two_labels faults=[two_labels]`, "
    "then `melnb check two_labels` or `02b_audit`. The folds that 02_prepare deals out join again "
    "what is torn and keep copies together, and `met_test` is refused, or left out by "
    "`test_overlap`: of the data as they came "
    "`melnb check outputs/synthetic/images600-seed0-torn_patient/metadata.csv` speaks."
)


def checks_page(planted: Iterable[str] = ()) -> str:
    """Return `docs/checks.md`: a table of all checks, a section for each, and how they are proved.

    Args:
        planted: A table in Markdown, of which planted fault makes which check say what.
    """
    lines = [
        "# Checks", "",
        "What `02b_audit` and `melnb check` ask a dataset. Made by `python docs/checks.py`.", "",
        "| | check |", "|---|---|",
        *(f"| [{c.code}](#{c.code.lower()}) | {c.name} |" for c in CHECKS.values()), "",
        "**PASS**: nothing found. **REVIEW**: a person should look. **FAIL**: a number measured "
        "on this is not to be believed. **not checked**: it says what it needs. `melnb check` "
        "exits with 0 where all pass or were not checked, 1 with a REVIEW, 2 with a FAIL, 3 where "
        "nothing could be read.",
    ]  # fmt: skip
    for check in CHECKS.values():
        lines += ["", f"## {check.code}", "", f"**{check.name.capitalize()}.** {check.asks}", ""]
        lines += [f"*What it costs:* {check.costs}", "", f"*What to do:* {check.remedy}."]
    lines += ["", "## Planted faults", "", _PLANTED, "", *planted]
    return "\n".join(lines) + "\n"
