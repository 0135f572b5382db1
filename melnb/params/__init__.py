"""What each stage takes: one frozen, typed parameter class for each notebook.

The room's law: fields are flat and hold plain values, so that papermill can pass them; each has
bounds and a line that says what it is. An empty string, an empty list or 0 means "not given":
papermill has no way to say None. A notebook's cell shows the fields that its class names in
`shown`, all of them where it names none, with the defaults of the class.

Fields that feed one function are a group, whose values a notebook hands on whole: `p.strengths`.
What cannot be together is said once, in the `rules` of the group or class that knows both.

    scalars    YAML whose text stays as it was typed
    base       what every class can do: check, read a notebook's cell, say what is wrong
    groups     what stages have in common: phases, rates, steps, fit, augmentation, machine
    prepare    01_explore, 02_prepare, 02b_audit
    segment    02c_segment_train, 02d_segment_apply
    train      03_train, 03b_find_lr
    tabular    03c_metadata 03d_embed
    predict    04_predict, 04b_pseudo_label, 04c_look, 05_ensemble, 05b_ablation
    report     06_report, 06b_explain, 06c_choose, 06d_external, 06e_robustness
    catalogue  all of them by name, and as a terminal lists them
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
