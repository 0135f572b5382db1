"""Training: one run, one fold, which a kill at any moment costs one epoch at most.

phases      stretches of a run, of one size of picture and one set of blocks that learn
recipe      how a classifier is fitted, apart from its loss and its optimizer
trainer     one step: augment, mix, look, compare
validation  what a model is worth after an epoch
state/      what a run needs to go on to the bit
failures    which images were in the batch at which the loss ceased to be a number
course      what each phase is trained with
recorder    what happens besides learning, after every step and epoch
snapshots   the networks of several cycles as one
finishing   what a run ends with
fitting     one run, one fold
"""
