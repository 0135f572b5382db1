"""How a value stands within its group: a lesion among its patient's.

The room's law: a value is compared with those of its own group and with no other's, so that
changing one patient changes no other to the bit; in a group of fewer than three, and where it is
missing, it is like its neighbours. Arrays and series come in, arrays go out: the room knows
neither files nor models, and data and evaluation share it.

    groups      a whole number per row, equal within a group
    standings   difference, ratio, z-score and rank
    outliers    the local outlier factor, of many small groups
"""
