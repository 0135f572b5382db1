"""Saliency: where in a picture, and in what is known of a patient, a prediction comes from.

anatomy        a classifier taken apart: to its last map, and from there to a score for each class
samples        the pictures that are to be explained, and their masks
baselines      the picture without what is looked for
batching       rows in batches of one size
gradcam        a map from the gradient by the last map of features
gradients      a map from the gradients along a path that begins at a baseline
explanations   both, for the same pictures
removal        what the prediction becomes when the map's best parts are taken out, or put in
randomization  what becomes of the map when the weights are destroyed
scores         one row for each picture and method

The room's law: the map that is drawn is the map that is scored, image size x image size, 0 or more,
what speaks for the class alone. No score says that an explanation is right, only how it fails.
"""
