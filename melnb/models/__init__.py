"""Models: from batches of pixels to predictions.

    networks      two of our own, tiny and small
    backbones     the networks by name: pixels to a map of features
    weights       what a backbone knows before it starts
    classifier    backbone, pooling, head: pixels to probabilities
    losses        probabilities and truth to one number an image
    schedules     the learning rate and the momentum of each step
    optimizers    the step itself
    accelerator   the machine: device, precision, replicas
    predicting    one or many looks at every image
    validation    what a model is worth after an epoch
    checkpoints   where a run stands, so that it can go on
    fitting       one run, one fold

The room's law: a network takes float32 pixels, height x width x 3, 0-255, and scales them itself;
it gives one column of probability for each class, whatever its head. All is written in Keras 3, so
that it runs on TensorFlow and on JAX; TensorFlow itself is imported in `accelerator` alone. Nothing
here knows what becomes of the predictions table that leaves the room.
"""
