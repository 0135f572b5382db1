"""Lesions: what a segmenter's probabilities become, and what the lesion so found is like.

    masks     a plane of probabilities to a mask of the picture's own size, and a verdict on it
    crops     the lesion's box, and what is left of the picture: all, the box, the lesion
    writing   the files of one image, each whole or absent
    tables    lesions.csv: what was found; images.csv: for the next 02_prepare
    applying  the files of all images, streamed
    shape     area, asymmetry, border, diameter of a mask
    colours   the six colours of dermoscopy, variegation, difference from the skin around
    abcd      both, of one picture and its mask
    features  the table of them, a row for each image
    reading   masks, true or found, each read when it is asked for

The room's law: a mask is true or false, height x width, of the picture as it stands upright; a box
is in pixels of that picture. One image is in memory at a time (in each process). A mask that cannot
be relied on is never used in silence: its image stays whole, and the table says why.
"""
