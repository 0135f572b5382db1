"""Invented lesions whose truth is known: masks, classes, and faults planted for auditors to find.

Law of the room: every picture is a function of its row and the seed alone. A lesion is drawn
once, from its own random stream, as densities of pigment in its own frame; each photograph of it
then chooses, from a second stream, how to look at it. So pictures of one lesion agree, worker
processes change nothing, and a switch that changes a label changes no pixel.

    textures    clouds, honeycomb, furrows, dots, strokes; skin without a lesion
    pigment     the pigment of one lesion, by the ABCD rule
    photograph  one view of skin, lesion and artefacts: picture and mask
    faults      what is planted in that table for an audit to find
    album       the rows of that table, drawn and written by many processes
    cohort      who has which lesion; the data set on disk, whole or absent
"""
