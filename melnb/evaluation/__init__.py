"""From a predictions table to numbers that can be trusted.

The room's law: a function takes a predictions table and keywords, and returns a table named as the
function is. Every estimate brings an interval and the rows behind it; what cannot be estimated is
a row whose `note` says why. Rows are joined by `image_id`; a row is flagged when its score is at
or above the threshold; whatever is chosen or fitted here is chosen on out-of-fold rows alone.
No module here knows how a prediction was made: models are strangers.

    statistics/      intervals, bootstrap, logistic regression, proportions, sample size
    rows             from a predictions table to the rows behind a number, and the row of a number
    discrimination/  ROC and precision-recall curves, AUC, comparisons, many classes
    calibration/     may a probability be believed?
    decisions/       thresholds, operating points, net benefit, conformal sets
    ensembles/       several members, one prediction; which members
    subgroups/       does it work for everyone?
    patient_context  the ugly duckling; the k most suspicious lesions of a patient
    shift/           external validation
    robustness       corruptions of the pictures, by strength
    pulls            which way an artefact moves predictions
    mask_scores      how well masks match: Jaccard, Dice, boundaries
    mask_failures    could we have known that a mask fails?
    shortcuts        how far one gets without the lesion; what a leaky split adds to a score
    confident_learning  label errors: confident learning, joined with neighbours
    challenges/      the files and measures of the ISIC challenges
    summaries        short tables for a reader
    units            an image, or a lesion or patient by the mean of its images
    unjudged         what can be said of rows without a truth
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
