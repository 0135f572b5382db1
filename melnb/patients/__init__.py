"""Who belongs together, and how a value stands within its group: a lesion among its patient's.

The room's law: that two ids are of the same image, lesion or patient is said in `overlap` alone. A
value is compared with those of its own group and with no other's, so that changing one patient
changes no other to the bit; in a group of fewer than three, and where it is missing, it is like its
neighbours. The room knows neither files nor models: tables, data, models and evaluation share it.

    groups      a whole number per row, equal within a group
    standings   difference, ratio, z-score and rank
    outliers    the local outlier factor, of many small groups
    overlap     the same image, lesion or patient, asked by whoever joins or parts tables
"""
