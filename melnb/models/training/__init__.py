"""Training: one run, one fold, which a kill at any moment costs one epoch at most.

    losses         the losses by name, class weights: cross-entropy, focal, margin focal, AUC, F1
    hard_examples  hard-example mining: learn from the hardest images of a batch alone
    recipe         how a network is fitted, in phases of one size of picture; progressive resizing
    trainer        one step: augment, mix, look, compare
    state          every number of a run, by a name that lasts
    checkpoints    where a run stands, in memory and on the disk
    plan           what each phase is trained with
    callback       what happens besides learning, after every step and epoch: validation
    fitting        one run, one fold, and what it ends with: early stopping, snapshots

Whatever is done to a loss is done image by image, before anything is averaged.
"""
