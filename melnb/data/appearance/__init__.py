"""Appearance: what can be measured of a picture, or mended in it, before anything learns from it.

skin          tone of the skin, colours of the lesion
measures      the images table to the measures table
hair_removal  dark hairs found, and filled in from the skin beside them
constancy     colours as under white light
cleaning      both, as a picture is prepared for the records
"""
