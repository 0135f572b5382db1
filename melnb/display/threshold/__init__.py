"""The threshold room: choose the score from which an image is flagged, and see what follows.

The room's law: the page answers by itself. Scores are sent once; no kernel is asked while a slider
moves; the same module serves JupyterLab and the offline report.
"""
