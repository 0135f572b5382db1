"""Models: from batches of pixels to predictions.

    accelerator    the machine: device, precision, replicas
    networks/      pixels (and what is known of a patient) to probabilities
    optimization/  the rate of each step, the step itself, and what becomes of its weights
    training/      one run, one fold: losses, phases, checkpoints
    tta            test-time augmentation: a network and shards to probabilities
    out_of_fold    each fold's network on images that it has not learnt from; other datasets
    corrupted      the same on corrupted pictures
    segmentation/  from pixels to one logit of lesion for each
    saliency/      where in a picture a prediction comes from
    tabular/       what is known of an image, without the picture, to predictions

The room's law: a network takes float32 pixels, height x width x 3, 0-255, and scales them itself;
it gives one column of probability for each class, whatever its head. All is written in Keras 3, so
that it runs on TensorFlow and on JAX; TensorFlow itself is imported in `accelerator` alone. Models
of tables are scikit-learn's, and no tensor flows in `tabular/`. Nothing here knows what becomes of
the predictions table that leaves the room.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
