"""The ensembles room: several members, one prediction.

The room's law: members are joined by `image_id`; what is fitted is fitted on out-of-fold rows.

    blends         align, weigh and blend
    contributions  what each member brings
"""
