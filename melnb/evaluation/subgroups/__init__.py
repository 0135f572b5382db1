"""Does it work for everyone? Fairness: the numbers by sex, age, site, skin tone, source and size.

The room's law: a level with few rows has no number, for it would be noise and might point at a
person; what is missing is a level of its own; and no gap shown is not the same as no gap.

    subgroup_levels   columns that part the images: one level for each image
    subgroup_metrics  what the model does in each level
    gaps              do levels differ by more than chance, and which gap could have been seen
"""
