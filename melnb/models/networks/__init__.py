"""Networks: from pixels to one column of probability for each class.

backbones          the networks by name: pixels to a map of features; two of our own, tiny and small
efficientnet_lite  one family of them, and how its state dicts are laid out
weights            pretrained weights: what a backbone knows before it starts, and where from
layouts            the tensors of a weights file, by layer, and how they come into a network
state_dicts        the tensors of PyTorch's files and of safetensors, read and never run
heads              a vector to probabilities; metadata fusion; what is trained
classifier         backbone, pooling, head: pixels to probabilities
saved              the one door by which a model file comes in
"""
