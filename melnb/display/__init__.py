"""From numbers to figures, widgets and the report.

The room's law: display draws tables that other rooms made, and computes nothing that a reader
would quote. A figure bears the name of the table that it draws: `evaluation.roc_curve` makes it,
`display.roc_curve` draws it. A widget is a plain object with methods, which `.view()` shows.
Colours, fonts and the plotly renderer are settled in `theme` alone.

    theme          how everything looks
    cells          numbers as readers want them
    gallery        pictures side by side
    plots/         one figure for each table
    browser/       the images of a table: chosen, sorted, marked
    threshold/     the threshold explorer
    masks/         the mask explorer
    drop/          new pictures, dropped and answered
    report/        the report and its card
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
