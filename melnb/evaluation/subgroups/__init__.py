"""Does it work for everyone? Fairness: the numbers by sex, age, site, skin tone, source and size.

The room's law: a level with few rows has no number, for it would be noise and might point at a
person; what is missing is a level of its own; and no gap shown is not the same as no gap.

    subgroup_metrics  columns that part the images into levels; what the model does in each
    gaps              do levels differ by more than chance, and which gap could have been seen
"""
