"""The mask explorer without a browser: what it says, sends and refuses."""

import base64
import json
import re
import zlib
from pathlib import Path

import numpy as np
import pytest
import traitlets

from melnb.display.masks.mask_explorer import MODULE, MaskExplorer, OutlineGallery
from melnb.display.report.report_page import Section, write_report
from melnb.evaluation.challenges.jaccard import MEASURES, mask_scores
from melnb.evaluation.mask_scores import boundary_distances, cleaned_mask
from melnb.tables.checks import TableError

Planes = dict[str, np.ndarray]


@pytest.fixture
def explorer(pictures: Planes, truths: Planes, probabilities: Planes) -> MaskExplorer:
    return MaskExplorer(pictures, truths, probabilities)


def test_a_row_is_that_of_the_official_scores(
    explorer: MaskExplorer, truths: Planes, probabilities: Planes
) -> None:
    for threshold, smoothing, place in ((0.5, 2.0, 0), (0.3, 0.0, 1), (0.55, 8.0, 0)):
        table = explorer.at(threshold=threshold, smoothing=smoothing, image=place)
        assert len(table) == 1
        row, name = table.iloc[0], f"i{place}"
        mask = cleaned_mask(probabilities[name], threshold=threshold, smoothing=smoothing)
        assert (row["image_id"], row["threshold"], row["smoothing"]) == (name, threshold, smoothing)
        assert (row["area"], row["area_share"]) == (mask.sum(), mask.mean())
        scores = mask_scores({name: truths[name]}, {name: mask}).iloc[0]
        counts = ["tp", "fp", "fn", "tn"]
        assert row[[*MEASURES, *counts]].tolist() == scores[[*MEASURES, *counts]].tolist()
        far = boundary_distances({name: truths[name]}, {name: mask}).iloc[0]
        assert row["hd95"] == far["hd95"]
        by_name = explorer.at(threshold, smoothing, name)
        assert by_name.equals(table)


def test_none_is_what_was_chosen(explorer: MaskExplorer) -> None:
    assert explorer.at().equals(explorer.at(threshold=0.5, smoothing=2.0, image=0))
    explorer.threshold, explorer.smoothing, explorer.image = 0.4, 1.0, 1
    assert explorer.at().equals(explorer.at(threshold=0.4, smoothing=1.0, image="i1"))


def test_without_a_truth_the_area_is_all_there_is(explorer: MaskExplorer) -> None:
    row = explorer.at(image=2).iloc[0]
    assert row["area"] > 0
    assert row[[*MEASURES, "tp", "hd95", "failed"]].isna().all()


def test_the_twin_shows_every_image_and_what_it_scores(explorer: MaskExplorer) -> None:
    made = explorer.gallery(0.45, 1.0, size=48)
    assert isinstance(made, OutlineGallery)
    assert made.title == "Mask explorer: threshold 0.45, smoothing 1"
    (tiles,) = made.rows.values()
    rows = [explorer.at(0.45, 1.0, k).iloc[0] for k in range(3)]
    assert [tile.caption for tile in tiles] == [
        f"i0 · Jaccard {rows[0]['jaccard']:.3f}",
        f"i1 · Jaccard {rows[1]['jaccard']:.3f}",
        f"i2 · area {rows[2]['area_share']:.1%}",
    ]
    assert explorer.gallery().title.endswith("threshold 0.5, smoothing 2")


def test_the_view_follows_and_is_followed(explorer: MaskExplorer) -> None:
    view = explorer.view()
    assert view._esm == MODULE
    assert (view.threshold, view.smoothing, view.image) == (0.5, 2.0, 0)
    view.threshold, view.image = 0.25, 2
    assert (explorer.threshold, explorer.image) == (0.25, 2)
    explorer.smoothing = 3.5
    assert view.smoothing == 3.5
    view.close()


def test_what_is_sent_is_what_python_counts_with(
    explorer: MaskExplorer, probabilities: Planes, truths: Planes
) -> None:
    state = explorer.page_state()
    data = {name: base64.b64decode(code) for name, code in state["data"].items()}
    assert {*data} == {
        *(f"picture{k}" for k in range(3)), *(f"probability{k}" for k in range(3)),
        "truth0", "truth1",
    }  # fmt: skip
    for k, (name, plane) in enumerate(probabilities.items()):
        low, high = np.frombuffer(zlib.decompress(data[f"probability{k}"]), "u1").reshape(2, -1)
        sent = (low + 256.0 * high).reshape(plane.shape) / 65535
        np.testing.assert_allclose(sent, plane, atol=1 / 65535)
        assert np.array_equal(explorer.mask(0.5, 0, name), cleaned_mask(sent, smoothing=0))
        assert data[f"picture{k}"][:2] == b"\xff\xd8"  # a JPEG
    assert (np.frombuffer(zlib.decompress(data["truth0"]), "u1") * 255).tolist() == truths[
        "i0"
    ].ravel().tolist()
    assert state["values"]["words"]["images"][1] == {
        "id": "i1", "height": 20, "width": 32, "truth": True,
    }  # fmt: skip


def test_a_report_holds_its_module_once_and_no_other(
    explorer: MaskExplorer, tmp_path: Path
) -> None:
    sections = [Section("Masks", explorer, explorer)]
    page = write_report(tmp_path / "report.html", title="T", sections=sections).read_text("utf-8")
    (module,) = re.findall(r'id="masks-module">(.*?)</script>', page, re.DOTALL)
    assert json.loads(module) == MODULE
    assert 'id="explorer-module"' not in page
    assert page.count('data-module="masks-module"') == 2
    assert ".melnb-masks .lesion" in page


def test_where_no_plane_is_there_is_nothing_to_see(pictures: Planes, truths: Planes) -> None:
    explorer = MaskExplorer(pictures, truths, {})
    assert explorer.gallery() is None
    assert explorer.view() is None


def test_bad_input_is_named(pictures: Planes, truths: Planes, probabilities: Planes) -> None:
    with pytest.raises(TableError, match="pictures: none of i0"):
        MaskExplorer({}, truths, probabilities)
    with pytest.raises(TableError, match=r"the mask of i0 is \(23, 24\) and its probabilities"):
        MaskExplorer(pictures, {"i0": truths["i0"][1:]}, probabilities)
    with pytest.raises(ValueError, match="the probabilities of i0 go from -1"):
        MaskExplorer(pictures, truths, {"i0": 2 * probabilities["i0"] - 1})
    with pytest.raises(ValueError, match=r"of i0 are of shape \(24, 321\)"):
        MaskExplorer(pictures, truths, {"i0": np.zeros((24, 321))})
    made = MaskExplorer(pictures, truths, probabilities)
    with pytest.raises(ValueError, match="image is 'x'"):
        made.at(image="x")
    with pytest.raises(ValueError, match="image is 3: use a place from 0 to 2"):
        made.image = 3
    with pytest.raises(traitlets.TraitError):
        made.threshold = 1.5
