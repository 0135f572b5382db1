"""Tabular models: from what is known of an image, in columns, to the same predictions table.

    table_rows          features, folds and truths joined by image id; words and numbers to cells
    learners            an estimator with its weights and balancing; fitting it, asking it
    cross_fitting       every fold predicted by what the others taught; tuning inside those
    feature_importance  what a column is worth on held-out images; partial dependence

The room's law: whatever is fitted, an encoder's mean or categories too, is fitted on training folds
alone and only applied to other rows; rows are sorted by image id first, so that their order in a
table changes nothing. No module here imports Keras or TensorFlow.
"""
