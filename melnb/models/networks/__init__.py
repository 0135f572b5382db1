"""Networks: from pixels to one column of probability for each class.

own         two of our own, tiny and small
backbones   the networks by name: pixels to a map of features
weights     what a backbone knows before it starts
layouts     the tensors of a weights file, by layer, and how they come into a network
fusion      what else is known of an image, beside the vector of its picture
pooling     a map of features to one vector
heads       a vector to probabilities; what is trained
classifier  backbone, pooling, head: pixels to probabilities
"""
