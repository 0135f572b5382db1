"""The ensembles room: several members, one prediction.

The room's law: members are joined by `image_id`; what is fitted is fitted on out-of-fold rows,
and no patient teaches and is judged.

    alignment      members joined by id, and which rows may teach which
    pools          how values become one: linear, logarithmic, power
    weights        equal, given, or of least log-loss
    stackers       logistic regression and boosted trees on members
    recipes        a frozen blend: written, read, applied to new rows
    crossfits      each fold blended as the others taught
    blends         all of these: weigh and blend
    patients       a score moved by its standing among the patient's
    contributions  what each member brings
"""
