"""The segmentation room: how well is the lesion found, where is it not, and could we have known?

The room's law: an image's scores are a row, `challenges.masks.mask_scores` and what is added here;
every mean of them brings an interval that knows which images belong together. Masks are planes of
one size, lesion or not; who drew them is not asked.

    boundaries   how far apart two outlines lie
    scores       a row per image, of all measures, and the worst of them
    summaries    the means by fold and over all, and of one segmenter against another
    failures     does the disagreement of views and folds tell which masks fail?
    cleaning     from a plane of probabilities to one lesion
"""
