"""From a predictions table to numbers that can be trusted.

The room's law: a function takes a predictions table and keywords, and returns a table named as the
function is. Every estimate brings an interval and the rows behind it; what cannot be estimated is
a row whose `note` says why. Rows are joined by `image_id`; a row is flagged when its score is at
or above the threshold; whatever is chosen or fitted here is chosen on out-of-fold rows alone.
No module here knows how a prediction was made: models are strangers.
"""
