"""Elsewhere: what becomes of a model on images of another source.

The room's law: the first table is the internal one, out-of-fold rows of the source that was learnt
from; the others are external, rows that no network of the run has met. Sources are independent
samples, so that variances add. Nothing is chosen or fitted on external rows but what says so.

    sources         the tables of all sources: without what was met, as two classes
    all_classes     what all classes get together, and each, in each source
    discrimination  areas, average precisions and prevalences, and their differences
    random_effects  the mean over sources, and what another one may give
    distances       how far the scores of a class have moved
    recalibrations  calibration as it came, at the source's prevalence, and fitted anew
    points          the locked threshold, elsewhere
    strata          subgroups inside each source
"""
