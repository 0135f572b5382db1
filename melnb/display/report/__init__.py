"""The report room: what a run found, in files that open without a network or a kernel.

report_page  one HTML file
facts        tables as a reader wants them
answers      what a run knows about itself, in sentences
card         the report card: a model card, reporting guidelines, how the run came about
"""
