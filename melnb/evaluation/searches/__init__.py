"""The searches room: which members shall be blended, and how much of the gain is luck.

The room's law: a search is judged on rows that it has not seen. What was chosen for a fold was
chosen on the others, and the gain that a search seems to bring stands beside the one it brings.

    candidates  members as whole numbers, so that sums never drift
    duels       who beats whom, by fold
    search      every subset, or one member at a time
    selection   which members were chosen, and for which fold
    optimism    how much of the gain is luck
"""
