"""Optimization: how fast, which way, and what becomes of the weights.

schedules   the learning rate and the momentum of each step
optimizers  the step itself
"""
