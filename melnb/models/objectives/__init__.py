"""Objectives: from probabilities and truth to what is to be made small.

    losses      one number for each image, and the weights of the classes

Whatever is done to a loss is done image by image, before anything is averaged.
"""
