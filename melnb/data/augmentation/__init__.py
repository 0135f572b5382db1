"""Augmentation: pictures as they might have been taken, as pure functions of uniform draws.

    draws      where every random number comes from
    geometry   what moves pixels: one map of coordinates, one resampling; distortions, cutout
    artefacts  what lies on the skin, and the dark rim: hairs, ruler, ink, bubbles, microscope
    colour     light: brightness, contrast, saturation, hue; colour constancy
    filters    lens, program and file: blur, noise, CLAHE, JPEG
    augment    every operation in the order in which a picture comes about; RandAugment, AugMix
    mixing     mixup and CutMix, of pictures, truths and metadata alike
    corruptions  pictures as robustness is tested with them; patches, the gel's edge, digits

The room's law: nothing here draws a random number. An operation takes a batch of images and one
uniform draw an image (or more), so that a picture can be made again from (seed, epoch, position);
it is the same eagerly, in a graph and jitted, on TensorFlow and on JAX; strength 0 is the identity;
pixels are float32, batch x height x width x 3, 0-255, before and after. All in `keras.ops`.
"""
