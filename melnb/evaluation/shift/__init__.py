"""External validation: what becomes of a model on images of another source.

The room's law: the first table is the internal one, out-of-fold rows of the source that was learnt
from; the others are external, rows that no network of the run has met. Sources are independent
samples, so that variances add. Nothing is chosen or fitted on external rows but what says so.

    other_sources   the tables of all sources: without what was met, as two classes
    areas           areas and prevalences, of one class and of all, and their differences; their
                    mean over sources, and what another one may give: meta-analysis
    score_shift     how far scores have moved; calibration as it came, and mended
    at_threshold    the locked threshold, elsewhere; subgroups inside each source
"""
