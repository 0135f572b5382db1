"""Phases: every epoch lies in one, and borders lie where they were asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from melnb.models.training.recipe import Phase, plan_phases, stretches

ONE = {"epochs": 6, "image_size": 64, "batch_size": 32}


def test_a_run_without_borders_is_one_phase() -> None:
    assert plan_phases(**ONE) == (Phase(0, 6, 64, 32),)
    assert stretches(plan_phases(**ONE), [10]) == []


def test_sizes_come_first_and_their_batches_have_the_same_area() -> None:
    plan = plan_phases(**ONE, sizes=[32, 48], size_epochs=[1, 3], scale_batch=True)
    assert plan == (Phase(0, 1, 32, 128), Phase(1, 3, 48, 56), Phase(4, 2, 64, 32))
    assert stretches(plan, [2, 4, 8]) == [(1, 2, 4.0), (3, 4, 1.75), (2, 8, 1.0)]
    plan = plan_phases(**ONE, sizes=[32, 48], size_epochs=[1, 3], scale_batch=True, replicas=8)
    assert [phase.batch_size for phase in plan] == [128, 56, 32]
    assert [p.batch_size for p in plan_phases(**ONE, sizes=[48], size_epochs=[5])] == [32, 32]


def test_blocks_rest_and_then_learn() -> None:
    freeze = {**ONE, "n_blocks": 9, "frozen_epochs": 2}
    assert plan_phases(**freeze) == (Phase(0, 2, 64, 32, 9), Phase(2, 4, 64, 32, 0))
    assert plan_phases(**ONE, frozen_norm=True) == (Phase(0, 6, 64, 32, 0, True),)
    plan = plan_phases(**freeze, frozen_blocks=7, unfreeze_blocks=4)
    assert [phase.frozen for phase in plan] == [7, 5]
    assert plan_phases(**ONE, n_blocks=9, unfreeze_blocks=4) == (Phase(0, 6, 64, 32, 5),)
    assert plan_phases(**{**freeze, "frozen_epochs": 6}) == (Phase(0, 6, 64, 32, 9),)


def test_borders_of_both_kinds_part_a_run_together() -> None:
    plan = plan_phases(**ONE, n_blocks=4, frozen_epochs=2, sizes=[32], size_epochs=[3])
    assert plan == (Phase(0, 2, 32, 32, 4), Phase(2, 1, 32, 32, 0), Phase(3, 3, 64, 32, 0))


@given(
    epochs=st.integers(1, 12), frozen=st.integers(0, 12),
    lengths=st.lists(st.integers(1, 4), max_size=3), replicas=st.sampled_from([1, 2, 8]),
)  # fmt: skip
def test_every_epoch_lies_in_one_phase(
    epochs: int, frozen: int, lengths: list[int], replicas: int
) -> None:
    if frozen > epochs or sum(lengths) >= epochs:
        return
    plan = plan_phases(
        epochs=epochs, image_size=64, batch_size=4 * replicas, n_blocks=3, frozen_epochs=frozen,
        sizes=[16, 32, 48][: len(lengths)], size_epochs=lengths, scale_batch=True,
        replicas=replicas,
    )  # fmt: skip
    covered = [e for phase in plan for e in range(phase.first_epoch, phase.end)]
    assert covered == list(range(epochs))
    assert all(phase.batch_size % replicas == 0 for phase in plan)
    assert all((phase.frozen == 3) == (phase.first_epoch < frozen) for phase in plan)
    assert plan[-1].image_size == 64


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"sizes": [32]}, r"sizes is \[32\] and size_epochs \[\]: give each size its epochs"),
        ({"sizes": [32], "size_epochs": [0]}, "give each size its epochs"),
        ({"sizes": [32], "size_epochs": [6]}, r"leave nothing of 6 epochs for image_size"),
        ({"frozen_epochs": 7, "n_blocks": 3}, "frozen_epochs is 7; use 0 to 6"),
        ({"frozen_epochs": 1}, "n_blocks is 0"),
        ({"frozen_epochs": 1, "n_blocks": 3, "frozen_blocks": 4}, "frozen_blocks is 4, but the"),
        ({"frozen_blocks": 2, "n_blocks": 3}, "frozen_blocks is 2, but frozen_epochs is 0"),
        ({"unfreeze_blocks": 4, "n_blocks": 3}, "unfreeze_blocks is 4, but the backbone has 3"),
    ],
)
def test_what_makes_no_plan_is_refused(wrong: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        plan_phases(**{**ONE, **wrong})  # type: ignore[arg-type]
