"""Artefacts: what a dermatoscope shows besides the skin, drawn without picture files.

    canvas  where pixels lie, and how paint covers them
    hairs   strands along Bézier curves
    marks   dark rim, gel bubbles, ruler, surgical ink

The room's law: what is drawn follows from the draws alone; strength 0 leaves the picture as it is.
"""
