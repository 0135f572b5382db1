"""Statistics: intervals and tests, by row or by cluster, whatever they are of.

The room's law: rows of one patient are no independent rows; each interval is checked by simulated
coverage, and its source is cited.

    intervals    closed forms: areas (DeLong), proportions (Wilson), means; Holm
    bootstrap    resamples by clusters, of weighted sums and of rankings
    logistic     logistic regression, and the covariance of its coefficients
    proportions  shares and counts of rows that come in clusters; means by group
    sample_size  how many images a validation needs
"""
