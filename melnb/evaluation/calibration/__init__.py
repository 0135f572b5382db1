"""The calibration room: may a probability be believed?

The room's law: scores are refused where probabilities are needed; a calibrator never calibrates
the rows that it was fitted on, nor their patients; test rows get one that was frozen before.

    prevalence          rows with a probability; probabilities for another prevalence
    reliability         the reliability diagram: stated against observed, bin by bin
    calibration_scores  ECE, MCE, Brier, log loss, slope and intercept, with intervals
    flexible_curve      the flexible calibration curve with its band, ICI, E50 and E90
    calibrators         temperature, Platt, isotonic, beta …: applied, written, read
    cross_calibration   each fold calibrated by what the others taught; methods compared
"""
