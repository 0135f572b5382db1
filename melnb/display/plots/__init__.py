"""The plots room: one plotly figure for each table, under the table's name.

The room's law: a figure says nothing that its table does not. A module here is the twin of a room
of `evaluation`, or of what it draws: a number and its picture share name and place.

    discrimination  ROC and precision-recall curves, estimates with intervals, confusion
    calibration     reliability diagram, flexible curve
    decisions       the chosen threshold and all others, net benefit, what is left to an expert
    subgroups       levels of the images, and lesions among their patient's
    shift           a model on its own source, and on others
    robustness      what corruptions of pictures cost
    segmentation    how well masks match, and whether failure was foretold
    dataset         what is in the data
    features        features, their importance, partial dependence
    training        learning curves, the learning rate, pseudo-labels
    saliency        maps over their pictures, and how the maps score
    strokes         curves, points and intervals that they share
"""
