import melnb_starts

melnb_starts.count()
