"""The masks room: where does the predicted outline leave the true one?

The room's law: an outline is told by its colour and by its kind of line, on any skin and for any
eye; what an outline measures is said in numbers of `evaluation.segmentation`. Of the explorer, the
page answers by itself, as in `threshold`, whose controls it shares.

    mask_explorer  threshold and smoothing on sliders: the state, its static twin and its widget;
                   both outlines over a picture, and pictures of the worst masks

The page's module is made of parts of `threshold` (controls), lesion.js (numbers, as `cleaned_mask`
has them), outline.js (lines) and view.js (which joins them).
"""
