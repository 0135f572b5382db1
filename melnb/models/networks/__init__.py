"""Networks: from pixels to one column of probability for each class.

backbones   the networks by name: pixels to a map of features; two of our own, tiny and small
weights     pretrained weights: what a backbone knows before it starts, and their files
heads       a vector to probabilities; metadata fusion; what is trained
classifier  backbone, pooling, head: pixels to probabilities
saved       the one door by which a model file comes in
"""
