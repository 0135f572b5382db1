"""The recipe: what does not go together is refused before anything is trained."""

from typing import Any

import pytest

from melnb.models.training.recipe import Phase, Recipe

PHASES = (Phase(0, 2, 32, 16), Phase(2, 3, 64, 8))


def test_a_recipe_knows_its_run() -> None:
    recipe = Recipe(PHASES, mixup=0.2)
    assert (recipe.epochs, recipe.image_size, recipe.batch_size) == (5, 64, 8)
    assert recipe.mix == {"mixup": 0.2, "cutmix": 0.0, "mixup_alpha": 0.2, "cutmix_alpha": 1.0}
    assert recipe.mine == {}
    assert Recipe(PHASES).mix == {}
    assert Recipe(PHASES, hard_share=0.5, hard_start=0.2).mine == {
        "final_share": 0.5, "start": 0.2, "end": 1.0
    }  # fmt: skip
    assert recipe.plain()["phases"][1]["image_size"] == 64


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"monitor": "auc"}, r"monitor is 'auc'.* \(use one of \['val_auc', 'val_loss'\]\)"),
        ({"keep": "swap"}, "keep is 'swap'; did you mean 'swa'"),
        ({"jit_compile": "yes"}, "jit_compile is 'yes'"),
        ({"phases": ()}, "phases begin at epochs"),
        ({"phases": PHASES[1:]}, r"phases begin at epochs \[2\]"),
        ({"swa_start": 6}, "swa_start is 6; use 1 to 5"),
        ({"keep": "swa"}, "keep is 'swa', but swa_start is 0"),
        ({"keep": "snapshots"}, "keep is 'snapshots', but snapshots is False"),
    ],
)
def test_what_has_no_meaning_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Recipe(**{"phases": PHASES, **wrong})
