"""The calibration room: may a probability be believed?

The room's law: scores are refused where probabilities are needed; a calibrator never calibrates
the rows that it was fitted on, nor their patients; test rows get one that was frozen before.

    probabilities   rows with a probability, its logit, label smoothing undone, the top label
    reliability     stated against observed, bin by bin; equal scores are never parted
    resamples       sums over bins, of the rows and of each resample
    measures        what follows from such sums, and the upward bias of calibration errors
    recalibration   the logistic regression of the truth on the logit
    splines         the flexible curve with its band, ICI, E50 and E90
    scores          ECE, MCE, Brier and its parts, log loss, slope and intercept, with intervals
    maps            what each method makes of a column of values
    calibrators     a fitted method: applied, written, read
    crossfits       each fold calibrated by what the others taught; methods compared
    prevalence      probabilities for another prevalence, and an estimate of it
"""
