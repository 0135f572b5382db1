"""Training: one run, one fold, which a kill at any moment costs one epoch at most.

validation   what a model is worth after an epoch
checkpoints  where a run stands, so that it can go on
fitting      one run, one fold
"""
