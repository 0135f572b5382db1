"""The challenges room: the files and the measures of the ISIC challenges, to the letter.

contents      what a column holds, and what its name says
columns       which column of anyone's predictions is what, or a refusal that lists them
truths        words, 0 and 1 or a column a class become names of classes
foreign       anyone's predictions file becomes the predictions table
submissions   the files that their servers take, and what they refuse
scoring       the measures that ranked their entries
masks         the same for segmentations
"""
