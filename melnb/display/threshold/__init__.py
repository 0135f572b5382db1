"""The threshold room: choose the score from which an image is flagged, and see what follows.

The room's law: the page answers by itself. Everything is sent once; no kernel is asked while a
slider moves; the same module serves JupyterLab, Voila and the offline report. Every number of the
page comes from a lookup by the threshold's rank, never from a pass over the rows.

    threshold_explorer  the state, readable back, and its widget
    panels              what its panels are sent: groups, a second run, the worst errors, all in a
                        few bytes a row; the chosen point as a file

The page's module is made of packed.js, counts.js (numbers), drawings.js, panels.js, benefit.js,
groups.js, pair.js, errors.js, saving.js, answer.js (parts) and view.js (which joins them).
"""
