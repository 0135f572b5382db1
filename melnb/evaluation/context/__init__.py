"""The ugly duckling: is a lesion unlike the others of its patient?

The room's law: a lesion is compared with its patient's own lesions and with no one else's; where a
patient has fewer than three pictures, it is like its neighbours.

Grob and Bonerandi 1998, Archives of Dermatology 134:103.

    neighbours   how each picture stands among its patient's (by the formulas of melnb.patients)
    retrieval    what is found when the k most suspicious of each patient are seen
    gain         does it help the score to know the neighbours?
"""
