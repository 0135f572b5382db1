"""From numbers to figures, widgets and the report.

The room's law: display draws tables that other rooms made, and computes nothing that a reader
would quote. A figure bears the name of the table that it draws (`metrics.roc_curve` makes it,
`curves.roc_curve` draws it). A widget is a plain object with methods, which `.view()` shows.
Colours, fonts and the plotly renderer are settled in `theme` alone.
"""
