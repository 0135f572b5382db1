"""Audit: what is wrong with pictures and shards, found before anything learns from them.

duplicates  pictures that are there twice; how large pictures are
mask_audit  what is odd about masks
leaks       patients, lesions, copies and test rows on both sides, by tables alone
label_order      does a row's place tell its label; do labels fit their pictures?
looks       one look at a picture, in a worker
shortcut_features  what is known of a picture without its lesion; copies pixel by pixel
template_matching  two pictures laid on each other
near_duplicates  one picture, or one lesion, under two names
leaky_splits     rows by which a leak's worth is measured
doctor      what ails a shard
sharing     what in a folder of outputs could tell a person
"""
