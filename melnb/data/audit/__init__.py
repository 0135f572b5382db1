"""Audit: what is wrong with pictures and shards, found before anything learns from them.

duplicates  pictures that are there twice; how large pictures are
mask_audit  what is odd about masks
doctor      what ails a shard
sharing     what in a folder of outputs could tell a person
"""
