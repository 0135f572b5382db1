"""Audit: what is wrong with pictures and shards, found before anything learns from them.

survey      how large pictures are
duplicates  pictures that are there twice
masks       what is odd about masks
doctor      what ails a shard
"""
