"""The pseudo-label room: what networks say of images without a label, for a student to learn from.

The room's law: the student of fold k is told by the teachers of fold k alone. Every other teacher,
and so any mean over folds, has learnt from the very images that the student of fold k is judged
on; what it says of other images carries their labels into the judgement. So the labels of every
fold's teachers stand apart, and rows are read for one fold at a time.

    teachers   the networks' predictions, by fold
    labels     which images a student is told of, and what: pseudo.csv; its rows for one fold
"""
