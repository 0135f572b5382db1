"""The decisions room: whom to biopsy, and whom to leave to an expert?

The room's law: a threshold is chosen on out-of-fold rows and frozen; what it costs stands beside
what it finds.

    thresholds   which one, and what each would do
    measures     what flagged rows say of a test, patients counted as patients
    rechosen     how sure is it, where the rows that judge it chose it?
    points       the chosen one, with every measure and its interval
    chosen       the frozen one: written, read, and applied once to test rows
    equivalence  is a model not worse than another by more than a margin?
    net_benefit  is a model worth more than a biopsy for all, or for none?
    conformal    sets of classes that hold the truth at a chosen rate
    selective    how often is it wrong where it is certain?
    referral     what a model decides by itself, and what it leaves to an expert
    errors       the images that it gets most wrong
"""
