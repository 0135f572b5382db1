"""Epochs: what a network learns from in each pass, planned by row numbers alone.

    training_rows  where each record lies, and what is to be learnt of it: a label or a mask
    sampling       which rows an epoch is made of, in what order: balanced sampling, oversampling
    external       images of other datasets, less all that is judged; all that one may learn from

The room's law: a plan is a pure function of (rows, sampling, seed, epoch); nothing that is held out
can be in it; no picture is read for it.
"""
