"""What is handed on: the images, folds and predictions tables, and the words of their cells.

The room's law: it knows neither runs nor models, everybody may ask it, and it imports no room.
One question has one answer here: what a column must hold (`schema`), what a class is called
(`diagnoses`), what a cell says, or that it says nothing (`values`), and whether two ids are of the
same image, lesion or patient (`overlap`). A value is compared with those of its own group and with
no other's, so that changing one patient changes no other to the bit.

    nearest         what did you mean?
    checks          the rules of the tables, one function for each
    files           whole or absent; what a machine refuses, in words
    processes       workers, threads, imports: how they begin, and what they leave alone
    signatures      what a file is by its first bytes
    encodings       what a text is written in
    values          missing values, numerals, and cells that a spreadsheet would run
    diagnoses       one ontology for all sources
    overlap         the same image, lesion, patient?
    delimited       the one door for tables that others wrote
    within_patient  how a value stands in its group: difference, ratio, z-score, outlier factor;
                    how far numbers lie from their mean, and when that is rounding
    documents       one typed reader for each JSON file: run.json and its kin
    findings        numbered checks of a dataset, and what they say
    schema          the three tables: read, written, checked
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
