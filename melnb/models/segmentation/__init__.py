"""Segmentation: from pixels to one logit of lesion for each, and from logits to planes.

    own         two encoders of our own, `unet-tiny` and `unet-small`
    encoders    the encoders by name: pixels to maps of features
    resampling  pictures of any side made whole for an encoder; maps made twice as fine
    decoders    maps of features to one, as fine as is asked for
    unet        encoder, decoder and logit: the segmenter
    losses      logits and masks to what is to be made small, by name
    measuring   what a segmenter is worth on masks that it does not learn from
    fitting     one run, one fold, by the loop of `training`
    predicting  planes of probability, image by image, and how far the looks disagree
    crossing    who predicts whom: each image by networks that have not learnt from it

The room's law: a segmenter takes float32 pixels, batch x height x width x 3, 0-255, of any side,
scales them itself, and gives float32 logits, batch x height x width x 1. What is averaged is
averaged as logits. No number of images makes anything here take more memory.
"""
