"""Prediction: one or many looks at every image, in file order.

predicting  a network and shards to probabilities
crossing    each fold's network on the images that it has not learnt from
foreign     all networks on the images of another dataset
"""
