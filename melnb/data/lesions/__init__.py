"""Lesions: what a segmenter's probabilities become, and what the lesion so found is like.

    masks            a plane of probabilities to a mask of the picture's own size, and a verdict
    crops            the lesion's box, and what is left of the picture: all, the box, the lesion
    mask_files       masks, true or found, each read when it is asked for
    writing          the files of one image, each whole or absent
    lesion_tables    lesions.csv: what was found; images.csv: for the next 02_prepare; features.csv
    applying         the files of all images, streamed
    abcd             the ABCD rule of one picture: asymmetry, border, colours, diameter

The room's law: a mask is true or false, height x width, of the picture as it stands upright; a box
is in pixels of that picture. One image is in memory at a time (in each process). A mask that cannot
be relied on is never used in silence: its image stays whole, and the table says why.
"""
