"""The decisions room: whom to biopsy?

The room's law: a threshold is chosen on out-of-fold rows and frozen; what it costs stands beside
what it finds.

    thresholds   which one, and what each would do
    points       the chosen one, with every measure and its interval
    errors       the images that it gets most wrong
"""
