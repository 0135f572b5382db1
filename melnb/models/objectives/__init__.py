"""Objectives: from probabilities and truth to what is to be made small.

    losses         the losses by name, and the weights of the classes
    cross_entropy  cross-entropy, focal, margin focal: an image by itself
    one_vs_rest    each class against the rest, over a whole batch; soft F1
    ranking        pairs and margins, for the AUC
    weighting      each image's number times the weight of its class
    mining         the hardest images alone

Whatever is done to a loss is done image by image, before anything is averaged.
"""
