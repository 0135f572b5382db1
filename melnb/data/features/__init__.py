"""The features room: what is known of each image, a row each, for a model of tables.

The room's law:

- Rows are joined by `image_id`. A number is float64, a word an object; what is missing is NaN, and
  nothing is filled here: imputation and encoding are fitted on training folds, by the model.
- No feature tells the truth. Columns that name it, or say it under another name, are refused when
  they are asked for, and left out of files with a note; a score is taken from out-of-fold
  predictions on this dataset's own folds alone.
- An image is compared with others of its fold and patient, and with no others.

    feature_rows   the images table to feature rows; what may be a feature; scores of other models
    feature_files  anyone's CSV to feature columns; how an image stands among its patient's
"""
