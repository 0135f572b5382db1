"""The readers: one module per published layout, each giving the same images table.

The room's law:

- A column is found by its name and a label mapped by its text, never by position.
- A folder is listed once; no file is asked for by name, for 33,000 questions take a minute.
- What a file does not say stays empty. What it says wrongly stops the reading: file, line, value.
- Rows that were left out are listed in `images.attrs` (`missing`, `duplicates`), never in silence.

A line imports only lines above it:

    listing  layout  vocabulary      files and pictures; sexes, ages, sites, diagnoses
    isic_challenges  siim2020  isic2024  ham10000  ph2  class_folders  any_csv
    kaggle_records                   shards as others made them
    tasks                            labels, and what is learnt of an image
    several                          sources joined into one table
    catalogue                        every source by name; the task; a sample of rows
"""
