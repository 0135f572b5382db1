"""The decisions room: whom to biopsy, and whom to leave to an expert?

The room's law: a threshold is chosen on out-of-fold rows and frozen; what it costs stands beside
what it finds.

    thresholds        which one, and what each would do
    flagged           what flagged rows say of a test, patients counted as patients; worst errors
    rechosen          how sure is it, where the rows that judge it chose it?
    operating_point   the chosen one: sensitivity, specificity, every measure with its interval
    locked_threshold  the frozen one: written, read, and applied once to test rows
    class_weights     many classes: weights searched exactly
    class_decision    logit adjustment, and weights for balanced accuracy, macro F1 or costs
    class_gain        what they bring over the most probable class, nested and naive
    equivalence       non-inferiority: is a model not worse than another by more than a margin?
    net_benefit       decision curves: worth more than a biopsy for all, or for none?
    conformal         sets of classes that hold the truth at a chosen rate
    selective         risk and coverage; what a model decides by itself, and what an expert does
"""
