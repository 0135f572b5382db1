"""Discrimination: are positives ranked above negatives, and is one model better at it?

The room's law: a network is compared with itself, on rows that both members have.

    ranking       ROC and precision-recall curves, and the areas under them
    classes       the same for many classes
    comparisons   is one run, fold or leaderboard entry better than another?
    within_folds  AUC within folds, and models over the same folds
    ablations     what does each technique bring, beyond noise?
"""
