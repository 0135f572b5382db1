"""What each stage takes: one frozen, typed parameter class for each notebook.

    preparing   01_explore, 02_prepare
    training    03_train, 03b_find_lr
    tabular     03c_metadata
    predicting  04_predict, 04b_pseudo_label
    blending    05_ensemble, 05b_ablation
    reporting   06_report, 06b_explain, 06c_choose, 06d_external

The room's law: fields are flat and hold plain values, so that papermill can pass them; each has
bounds and a line that says what it is. An empty string, an empty list or 0 means "not given":
papermill has no way to say None. The order and the defaults are those of the notebook's cell.
"""
