"""Augmentation: pictures as they might have been taken, as pure functions of uniform draws.

    draws       where every random number comes from
    augment     what moves pixels, and what changes colours

The room's law: nothing here draws a random number. An operation takes a batch of images and one
uniform draw an image (or more), so that a picture can be made again from (seed, epoch, position);
it is the same eagerly, in a graph and jitted, on TensorFlow and on JAX; strength 0 is the identity;
pixels are float32, batch x height x width x 3, 0-255, before and after. All in `keras.ops`.
"""
