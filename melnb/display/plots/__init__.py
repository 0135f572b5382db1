"""The plots room: one plotly figure for each table, under the table's name.

The room's law: a figure says nothing that its table does not. Modules are named by what a reader
sees: `metrics.roc_curve` makes a table, `curves.roc_curve` draws it.

    curves       one line for each fold or run
    choices      the chosen threshold, all others, and the scores that they cut
    reliability  stated probabilities against observed shares
    benefits     a model against biopsying all and none
    referrals    what a model may decide alone, and what it leaves to an expert
    searches     what a search for members seems to bring, and brings
    forests      estimates with their intervals
    groups       levels of the images, and lesions among their patient's
    shifts       a model on its own source, and on others
    grids        squares of cells
    census       what is in the data
    features     what there is of each feature, and what a model would lose without it
    dependence   what a model says when a feature alone is changed
    training     how a fit went
    saliency     maps over their pictures, and how the maps score
    segmentation how well masks match, and whether failure was foretold
    labels       which scores of pseudo-labels are learnt from
    marks        the strokes that they share
"""
