"""Optimization: how fast, which way, and what becomes of the weights.

curves      the ways of a rate through a run
plateau     a rate that falls where a run no longer gains
schedules   the learning rate and the momentum of each step
optimizers  the step itself
blocks      the parts of a backbone, frozen or slowed
averages    means of weights, and the statistics that belong to them
finder      which rate to begin with
"""
