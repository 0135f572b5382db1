"""Plans: which rows an epoch is made of, and that none but the given ones are in it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from melnb.data.epochs.sampling import (
    NATURAL,
    SAMPLINGS,
    Sampling,
    count_rows,
    count_steps,
    make_sampling,
    plan_epoch,
)
from melnb.data.epochs.training_rows import Rows


def make_rows(counts: tuple[int, ...], groups: tuple[int, ...] = (0,), seed: int = 0) -> Rows:
    """So many rows of each class, in each group, in a mixed order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.concatenate([labels for _ in groups])
    group = np.repeat(groups, sum(counts))
    order = np.random.default_rng(seed).permutation(len(labels))
    n = len(labels)
    return Rows(
        paths=("one.tfrec",),
        shard=np.zeros(n, "int32"),
        offset=np.arange(n, dtype="int64"),
        length=np.ones(n, "int32"),
        image_id=np.array([f"i{k}" for k in range(n)], object),
        truth=np.eye(len(counts), dtype="float32")[labels[order]],
        metadata=np.zeros((n, 0), "float32"),
        group=group[order].astype("int32"),
    )


def plans(rows: Rows, sampling: Sampling, epochs: int = 40, seed: int = 3) -> np.ndarray:
    return np.concatenate(
        [plan_epoch(rows, sampling=sampling, seed=seed, epoch=e) for e in range(epochs)]
    )


def within(count: int, n: int, p: float) -> bool:
    """Whether a count is one that chance gives all but once in a million times."""
    low, high = binom.ppf([5e-7, 1 - 5e-7], n, p)
    return bool(low <= count <= high)


def test_natural_is_every_row_once_in_an_order_of_its_own() -> None:
    rows = make_rows((30, 5, 1))
    orders = [plan_epoch(rows, seed=s, epoch=e) for s in (0, 1) for e in (0, 1, 2)]
    for order in orders:
        assert sorted(order) == list(range(36))
        assert order.dtype == np.int64
    assert len({tuple(order) for order in orders}) == 6


def test_the_rows_left_over_by_the_last_batch_are_others_each_time() -> None:
    rows = make_rows((9, 2))
    lost = {int(plan_epoch(rows, seed=0, epoch=epoch)[10]) for epoch in range(60)}
    assert len(lost) > 8


@pytest.mark.parametrize("counts", [(300, 6), (200, 50, 3), (40, 0, 5), (0, 25)])
def test_balanced_draws_the_classes_that_are_there_equally_often(counts: tuple[int, ...]) -> None:
    rows = make_rows(counts)
    drawn = plans(rows, Sampling("balanced"))
    assert len(drawn) == 40 * sum(counts)
    there = sum(count > 0 for count in counts)
    for label, count in enumerate(counts):
        found = int((rows.labels[drawn] == label).sum())
        assert within(found, len(drawn), 1 / there) if count else found == 0


@pytest.mark.parametrize("balance", [0.0, 0.3, 0.5, 1.0])
def test_balance_is_the_exponent_between_natural_and_balanced(balance: float) -> None:
    counts = np.array([400, 50, 10])
    rows = make_rows(tuple(counts.tolist()))
    drawn = rows.labels[plans(rows, Sampling("balanced", balance=balance))]
    wanted = counts ** (1 - balance) / (counts ** (1 - balance)).sum()
    for label in range(3):
        assert within(int((drawn == label).sum()), len(drawn), wanted[label])


def test_within_a_class_every_row_is_drawn_alike() -> None:
    rows = make_rows((60, 3))
    drawn = plans(rows, Sampling("balanced"), epochs=200)
    for row in np.flatnonzero(rows.labels == 1):
        assert within(int((drawn == row).sum()), len(drawn), 1 / 6)
    assert len(np.unique(drawn)) == 63


def test_soft_truth_is_drawn_by_its_share_in_each_class() -> None:
    truth = np.array([[1, 0], [1, 0], [1, 0], [0.5, 0.5]], "float32")
    rows = replace(make_rows((4, 0)), truth=truth)
    drawn = plans(rows, Sampling("balanced"), epochs=2000)
    # class 0 is 3.5 images and class 1 half a one: 1/2 x (0.5 / 3.5 + 0.5 / 0.5)
    assert within(int((drawn == 3).sum()), len(drawn), 0.5 * (0.5 / 3.5 + 1))


def test_oversampling_repeats_a_class_so_often_and_nothing_else() -> None:
    rows = make_rows((20, 4, 2))
    sampling = make_sampling("oversample", classes=("nevus", "mel", "df"), oversample={"mel": 7})
    plan = plan_epoch(rows, sampling=sampling, seed=0, epoch=0)
    times = np.bincount(plan, minlength=26)
    np.testing.assert_array_equal(times, np.where(rows.labels == 1, 7, 1))
    assert count_rows(rows, sampling=sampling) == 20 + 28 + 2


@pytest.mark.parametrize("kind", SAMPLINGS)
def test_external_and_pseudo_rows_come_at_their_share(kind: str) -> None:
    rows = make_rows((30, 3), groups=(0, 1, 2))
    times = {"b": 2} if kind == "oversample" else None
    sampling = make_sampling(
        kind, classes="ab", oversample=times, external_share=0.25, pseudo_share=0.5
    )
    own = 36 if times else 33
    plan = plan_epoch(rows, sampling=sampling, seed=1, epoch=4)
    assert np.bincount(rows.group[plan]).tolist() == [own, own, 2 * own]
    assert len(plan) == count_rows(rows, sampling=sampling) == 4 * own
    if kind == "natural":  # two whole passes over the pseudo-labelled, none in between
        assert (np.bincount(plan[rows.group[plan] == 2], minlength=99)[rows.group == 2] == 2).all()


def test_a_share_below_a_whole_pass_meets_all_rows_in_time() -> None:
    rows = make_rows((10, 10), groups=(0, 1))
    sampling = make_sampling(classes="ab", external_share=0.2)
    assert count_rows(rows, sampling=sampling) == 25
    drawn = plans(rows, sampling, epochs=30)
    assert set(drawn) == set(range(40))
    one = plan_epoch(rows, sampling=sampling, seed=0, epoch=0)
    assert len(set(one)) == 25


def test_without_a_share_other_groups_are_as_ones_own() -> None:
    rows = make_rows((3, 2), groups=(0, 1, 2))
    assert sorted(plan_epoch(rows, seed=0, epoch=0)) == list(range(15))


@given(
    counts=st.tuples(*[st.integers(0, 12)] * 3).filter(lambda c: sum(c) > 0),
    kind=st.sampled_from(SAMPLINGS),
    balance=st.floats(0, 1),
    share=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**31 - 1),
    epoch=st.integers(0, 10_000),
)
def test_no_held_out_patient_is_in_any_plan(
    counts: tuple[int, ...], kind: str, balance: float, share: float, seed: int, epoch: int
) -> None:
    whole = make_rows(counts, groups=(0, 1), seed=seed)
    patient = np.random.default_rng(seed).integers(0, 6, len(whole))
    held_out = patient == 0
    rows = whole.take(~held_out)
    named: dict[str, Any] = {"oversample": {"c": 3}} if kind == "oversample" else {}
    apart = share if (rows.group == 1).any() else 0.0
    sampling = make_sampling(kind, classes="abc", balance=balance, external_share=apart, **named)
    plan = plan_epoch(rows, sampling=sampling, seed=seed, epoch=epoch)
    number = {image_id: k for k, image_id in enumerate(whole.image_id)}
    assert all(patient[number[image_id]] for image_id in rows.image_id[plan])
    assert len(plan) == count_rows(rows, sampling=sampling)
    np.testing.assert_array_equal(plan, plan_epoch(rows, sampling=sampling, seed=seed, epoch=epoch))


def test_a_plan_is_the_same_on_every_machine() -> None:
    rows = make_rows((6, 2))
    assert plan_epoch(rows, seed=5, epoch=2).tolist() == [1, 6, 7, 5, 2, 3, 4, 0]
    balanced = plan_epoch(rows, sampling=Sampling("balanced"), seed=5, epoch=2)
    assert balanced.tolist() == [7, 6, 0, 5, 3, 3, 3, 0]


def test_steps_are_whole_batches() -> None:
    rows = make_rows((20, 1))
    assert count_steps(rows, batch_size=5) == 4
    assert count_steps(rows, batch_size=5, sampling=Sampling("oversample", times=(1, 5))) == 5
    with pytest.raises(ValueError, match=r"batch_size is 22 .* holds 21 images: lower batch_size"):
        count_steps(rows, batch_size=22)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sampling": "even"}, "sampling is 'even'; use one of"),
        ({"balance": 1.5}, "balance is 1.5; use 0"),
        ({"sampling": "oversample", "oversample": {"melanom": 7}}, "none of the classes"),
        ({"sampling": "oversample", "oversample": {"b": 0}}, "once or more often"),
        ({"sampling": "oversample"}, "name the classes to repeat"),
        ({"oversample": {"b": 7}}, "with sampling oversample, and with no other"),
        ({"external_share": 0.6, "pseudo_share": 0.4}, "leave room"),
        ({"external_share": -0.1}, "each is above 0"),
    ],
)
def test_what_has_no_meaning_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_sampling(classes=("a", "b"), **given)


def test_a_share_of_nothing_is_refused() -> None:
    rows = make_rows((4, 4))
    with pytest.raises(ValueError, match=r"share of 0.2 .* group 1, which has no rows"):
        plan_epoch(rows, sampling=make_sampling(classes="ab", external_share=0.2), seed=0, epoch=0)
    with pytest.raises(ValueError, match="give one for each of 2 classes"):
        count_rows(rows, sampling=Sampling("oversample", times=(1, 2, 3)))
    assert make_sampling(classes="ab") == NATURAL
