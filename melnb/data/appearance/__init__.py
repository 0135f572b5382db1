"""Appearance: what can be measured of a picture, before anything learns from it.

skin      tone of the skin, colours of the lesion
measures  the images table to the measures table
"""
