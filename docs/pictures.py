"""Make the pictures of the README from the demo: `make pictures`.

Each is what Chromium shows of a page of synthetic lesions, framed alike each time. What is ugly in
one is mended in the page.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

from melnb import data, models, runs, tables
from melnb.display import ImageBrowser, MaskExplorer
from melnb.display.report.report_page import Section, write_report
from melnb.models.segmentation.unet import read_segmenter

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "warm"))
from melnb_widgets import open_browser  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
WIDTH, HEIGHT, FINE = 1280, 740, 1.5  # of the window, and pixels of a picture for one of it
SIDE = 64  # pixels, of what the demo's segmenter has learnt from
END = """(path) => document.querySelector(path).getBoundingClientRect().top + scrollY"""


def main(outputs: Path) -> None:
    """Write every picture."""
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        window = {"width": WIDTH, "height": HEIGHT}
        for draw in (draw_report, draw_explorer, draw_browser, draw_masks):
            page = chromium.new_page(viewport=window, device_scale_factor=FINE)
            page.set_default_timeout(600_000)
            draw(page, outputs, Path(folder))
            page.close()
        chromium.close()


def draw_report(page: Any, outputs: Path, folder: Path) -> None:
    """The report's first screen: down to what limits the answer."""
    _open(page, outputs / "06_report" / "demo" / "report.html")
    keep(page, "report", 0, 0, WIDTH, page.evaluate(END, ".limits") - 6)


def draw_explorer(page: Any, outputs: Path, folder: Path) -> None:
    """The threshold explorer at night, its sliders and the panels that follow them."""
    page.emulate_media(color_scheme="dark")
    _open(page, outputs / "06_report" / "demo" / "report.html")
    box = page.locator(".explorer .controls").bounding_box()
    end = page.evaluate(END, ".groups-panel") - 4
    keep(page, "explorer", box["x"] - 6, box["y"] - 6, box["width"] + 12, end - box["y"] + 6)


def draw_browser(page: Any, outputs: Path, folder: Path) -> None:
    """The image browser, the most surprising errors first, one of them open."""
    images = tables.read_images(outputs / "02_prepare" / "demo" / "images.csv")
    predictions = tables.read_predictions(outputs / "05_ensemble" / "demo" / "predictions.csv")
    browser = ImageBrowser(
        images, predictions=predictions, marks_to=folder / "marks.csv",
        open_picture=data.read_picture,
    )  # fmt: skip
    open_browser(page, browser, folder / "browser.html")
    page.get_by_label("sorted by").select_option("surprise")
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(2000)
    keep(page, "browser", 0, 0, WIDTH, HEIGHT)


def draw_masks(page: Any, outputs: Path, folder: Path) -> None:
    """Where a network sees the lesion, and where it is: the mask explorer."""
    home = runs.find_run("02c_segment_train", "demo/fold0", outputs)
    prepared = data.read_dataset(outputs / "02_prepare" / "demo")
    _, held_out = prepared.split(0, SIDE)
    pixels, truths = data.sample_mask_pairs(held_out, image_size=SIDE, n=12)
    said = models.predict_masks(
        [read_segmenter(home / "model.keras")], held_out, only={*pixels}, image_size=SIDE,
        batch_size=len(pixels), views="dihedral",
    )  # fmt: skip
    planes = {one.image_id: one.probability for one in said}
    paths = tables.read_images(prepared.folder / "images.csv").set_index("image_id")["path"]
    sharp = {name: np.asarray(data.read_picture(paths[name], 384)) for name in planes}
    explorer = MaskExplorer(sharp, truths, planes)
    page_file = write_report(
        folder / "masks.html", title="Masks", sections=[Section("Outlines", explorer)]
    )
    _open(page, page_file)
    box = page.locator(".explorer").bounding_box()
    keep(page, "segmentation", box["x"] - 6, box["y"] - 6, box["width"] + 12, box["height"] + 12)


def _open(page: Any, file: Path) -> None:
    page.goto(file.absolute().as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    page.wait_for_timeout(1000)  # figures are drawn, and the page stands still


def keep(page: Any, name: str, x: float, y: float, width: float, height: float) -> None:
    """Write a part of a page as a picture of few kilobytes."""
    clip = {"x": x, "y": y, "width": width, "height": height}
    seen = Image.open(io.BytesIO(page.screenshot(full_page=True, clip=clip)))
    file = PICTURES / f"{name}.webp"
    seen.convert("RGB").save(file, "WEBP", quality=86, method=6)
    print(f"{file.relative_to(ROOT)}: {seen.width} x {seen.height}, {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(runs.outputs_root(sys.argv[1] if len(sys.argv) > 1 else ""))
