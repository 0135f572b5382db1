"""Networks: from pixels to one column of probability for each class.

own         two of our own, tiny and small
backbones   the networks by name: pixels to a map of features
weights     what a backbone knows before it starts
fusion      what else is known of an image, beside the vector of its picture
classifier  backbone, pooling, head: pixels to probabilities
"""
