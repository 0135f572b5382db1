"""From a predictions table to numbers that can be trusted.

The room's law: a function takes a predictions table and keywords, and returns a table named as the
function is. Every estimate brings an interval and the rows behind it; what cannot be estimated is
a row whose `note` says why. Rows are joined by `image_id`; a row is flagged when its score is at
or above the threshold; whatever is chosen or fitted here is chosen on out-of-fold rows alone.
No module here knows how a prediction was made: models are strangers.

    rows          from a predictions table to the rows behind a number, and the row that carries it
    metrics       curves, and the areas under them
    classes       the same for many classes
    comparisons   is one run, fold or leaderboard entry better than another?
    folds         AUC within folds, and models over the same folds
    ablations     what does each technique bring, beyond the noise of images and of training?
    planning      how many images a validation needs
    means         any scores of images, by group
    summaries     short tables for a reader
    unjudged      what can be said of rows without a truth
    intervals     closed forms: areas (DeLong), proportions (Wilson), means
    counts        what four counts say of a test
    proportions   shares of rows that come in clusters
    bootstrap     resamples, by clusters, of weighted sums and of rankings
    logistic      logistic regression, and the covariance of its coefficients
    rankings      statistics from the counts at the steps of a ranking
"""
