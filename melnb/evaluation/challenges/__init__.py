"""The challenges room: the files and the measures of the ISIC challenges, to the letter.

columns      which column of anyone's predictions is what, or a refusal that lists them
foreign      anyone's predictions file becomes the predictions table, its truths with it
submissions  the files that their servers take, and what they refuse
scoring      the measures that ranked their entries
jaccard      the same for segmentations: Jaccard, threshold Jaccard
"""
