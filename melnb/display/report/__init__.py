"""The report room: what a run found, in files that open without a network or a kernel."""
