"""Segmentation: from pixels to one logit of lesion for each, and from logits to planes.

    encoders          the encoders by name: pixels to maps of features
    unet              encoder, decoder and logit: the segmenter
    mask_losses       logits and masks to what is to be made small, by name: Jaccard, Dice, focal
    mask_fitting      one run, one fold, by the loop of `training`
    mask_tta          planes of probability, image by image, and how far the looks disagree
    mask_out_of_fold  who predicts whom: each image by networks that have not learnt from it

The room's law: a segmenter takes float32 pixels, batch x height x width x 3, 0-255, of any side,
scales them itself, and gives float32 logits, batch x height x width x 1. What is averaged is
averaged as logits. No number of images makes anything here take more memory.
"""
