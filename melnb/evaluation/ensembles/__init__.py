"""The ensembles room: several members, one prediction.

The room's law: members are joined by `image_id`; what is fitted is fitted on out-of-fold rows,
and no patient teaches and is judged.

    alignment      members joined by id, which rows may teach which; means, rank and power means
    recipes        a frozen blend: written, read, applied to new rows
    cross_fit      each fold blended as the others taught; weights, and stacking: logistic
                   regression and boosted trees on members
    blends         all of these: weigh and blend; what each member brings
    patient_moves  a score moved by its standing among the patient's
    candidates     members as whole numbers; pair counts by fold; what was selected
    search         every subset (exhaustive), or one member at a time (greedy); optimism: how much
                   of the gain is luck

A search is judged on rows that it has not seen: what was chosen for a fold was chosen on the
others, and the gain that a search seems to bring stands beside the one it brings.
"""
