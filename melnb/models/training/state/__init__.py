"""State: what a run needs to go on to the bit.

tensors      every number of a run in training, by a name that lasts
checkpoints  where a run stands, on the disk
record       where a run stands, in memory
"""
