"""Saliency: where in a picture, and in what is known of a patient, a prediction comes from.

    feature_map    a classifier taken apart: to its last map, and from there to a score per class
    samples        the pictures that are to be explained, and their masks
    explanations   Grad-CAM and integrated gradients of the same pictures, for the same classes
    map_scores     one row for each picture and method; deletion and insertion; what becomes of
                   the map when the weights are destroyed

The room's law: the map that is drawn is the map that is scored, image size x image size, 0 or more,
what speaks for the class alone. No score says that an explanation is right, only how it fails.
"""
