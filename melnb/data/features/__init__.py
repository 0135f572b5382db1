"""The features room: what is known of each image, a row each, for a model of tables.

The room's law:

- Rows are joined by `image_id`. A number is float64, a word an object; what is missing is NaN, and
  nothing is filled here: imputation and encoding are fitted on training folds, by the model.
- No feature tells the truth. Columns that name it, or say it under another name, are refused when
  they are asked for, and left out of files with a note; a score is taken from out-of-fold
  predictions on this dataset's own folds alone.
- An image is compared with others of its fold and patient, and with no others.

    columns    what may be a feature: numbers and words, never truths, names or places
    tables     the images table to feature rows; further tables joined; the overview
    files      anyone's CSV to feature columns
    scores     out-of-fold predictions of another model to a column
    relative   how an image stands among its patient's, or its patient's of one site
"""
