"""The challenges room: the files and the measures of the ISIC challenges, to the letter.

foreign       anyone's predictions file becomes the predictions table
submissions   the files that their servers take, and what they refuse
scoring       the measures that ranked their entries
masks         the same for segmentations
"""
