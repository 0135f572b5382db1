"""Findings: numbered for good, the worst first, and their page made of the list."""

from pathlib import Path

import pytest

from melnb.data.synthetic.faults import faults_table
from melnb.tables.findings import (
    CHECKS,
    FAIL,
    NOT_CHECKED,
    PASS,
    REVIEW,
    Audit,
    Finding,
    checks_page,
    findings_table,
    worst_severity,
)

PAGE = Path(__file__).parents[2] / "docs" / "checks.md"


def test_the_page_of_the_checks_is_made_of_their_list() -> None:
    assert PAGE.read_text(encoding="utf-8") == checks_page(faults_table()), "make api"


def test_checks_are_numbered_without_a_gap_and_say_all() -> None:
    assert list(CHECKS) == [f"MEL{k:03}" for k in range(1, len(CHECKS) + 1)]
    for check in CHECKS.values():
        assert all(check), check.code
        assert any(word in check.asks for word in (FAIL, REVIEW)), check.code


def test_what_was_not_asked_stands_there_as_not_checked() -> None:
    table = findings_table([Finding("MEL002", FAIL, 3, "three"), Finding("MEL001", PASS, 0, "ok")])
    assert table["code"].tolist() == list(CHECKS)
    assert table["severity"].tolist()[:3] == [PASS, FAIL, NOT_CHECKED]
    assert table["remedy"][0] == ""
    assert table["remedy"][1] == CHECKS["MEL002"].remedy


@pytest.mark.parametrize(
    ("severities", "worst"),
    [
        ([PASS], PASS), ([PASS, NOT_CHECKED], NOT_CHECKED), ([PASS, REVIEW], REVIEW),
        ([REVIEW, FAIL, PASS], FAIL), ([], NOT_CHECKED),
    ],
)  # fmt: skip
def test_the_worst_decides(severities: list[str], worst: str) -> None:
    findings = [Finding("MEL001", severity, 0, "") for severity in severities]
    assert worst_severity(findings_table(findings, every=False)) == worst


def test_an_audit_is_one_sentence() -> None:
    assert Audit().sentence == ""
    found = [
        Finding("MEL001", FAIL, 4, ""), Finding("MEL001", FAIL, 2, ""),
        Finding("MEL011", REVIEW, 9, ""), Finding("MEL002", PASS, 0, ""),
    ]  # fmt: skip
    audit = Audit("02b_audit/d", findings_table(found))
    assert audit.sentence == (
        "Audit: 2 FAIL (a patient in two parts), 1 REVIEW (shortcut: the file)."
    )
    clean = Audit("02b_audit/d", findings_table(found[3:]), stale="d was prepared anew since")
    assert clean.sentence == (
        "Audit: nothing found by the 1 checks that were made. D was prepared anew since."
    )


def test_a_finding_of_no_check_is_refused() -> None:
    with pytest.raises(ValueError, match="MEL999"):
        findings_table([Finding("MEL999", PASS, 0, "")])
