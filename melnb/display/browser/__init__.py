"""The browser room: which images are these, and is what is said of them right?

The room's law: nothing is loaded that is not looked at. The page holds a few bytes of each image
and the pictures in sight; the kernel chooses, sorts, and opens pictures when they come into view.
What a person says of an image is a line of a table of its own, and never a change of the data.

    image_browser  the state, readable back; its static twin; its widget, and what it answers
    pair_browser   the same sheet of pairs of pictures, settled by a key each

The page's module is made of parts of `threshold` (counts, drawings), sheet.js (tiles in sight and
their pictures) and view.js (which joins them to the model).
"""
