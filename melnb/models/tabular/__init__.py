"""Tabular models: from what is known of an image, in columns, to the same predictions table.

    rows        features, folds and truths in one place, joined by image id
    encoding    words and numbers to cells, with missing as something to learn from
    standardiser  the encoder's step for numbers
    estimators  the estimators by name, with what each takes
    balancing   which training rows are learnt from, and how often
    learners    an estimator with its weights and balancing; fitting it, asking it
    crossfits   every fold predicted by what the others taught
    tuning      settings chosen inside the training folds
    importance  what a column is worth on images that were held out
    dependence  how the prediction changes along a column

The room's law: whatever is fitted, an encoder's mean or categories too, is fitted on training folds
alone and only applied to other rows; rows are sorted by image id first, so that their order in a
table changes nothing. No module here imports Keras or TensorFlow.
"""
