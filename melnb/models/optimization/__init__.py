"""Optimization: how fast, which way, and what becomes of the weights.

curves            learning-rate schedules: ramp, 1cycle, cosine, warm restarts, plateau
schedules         the learning rate and the momentum of each step
optimizers        the step itself; gradient accumulation, clipping
freezing          the blocks of a backbone: frozen, unfrozen, layer-wise rates
weight_averaging  EMA, SWA, and the statistics that belong to them
lr_finder         the learning-rate finder: which rate to begin with
"""
