"""melnb: from dermoscopy images to an honest melanoma classifier.

The main line is six notebooks; each reads only what an earlier one wrote:

    01_explore    what is in the data?
    02_prepare    images.csv  folds.csv  dataset.json  records/
      02b_audit  what leaks, what could be a shortcut, which labels: findings.csv  same_as.csv
      02c_segment_train  where the lesion is: model.keras  scores.csv  masks/
      02d_segment_apply  masks, crops, features: lesions.csv  images.csv for a next 02_prepare
    03_train      one run, one fold: model.keras  history.csv  predictions.csv
      03b_find_lr  how fast to learn: learning_rate.json
      03c_metadata  what is said without the picture: predictions.csv  importance.csv
      03d_embed  an encoder's vectors, and probes on them: embeddings.npy  predictions.csv
    04_predict    many views of every image: predictions.csv (out of fold)  test.csv
      04b_pseudo_label  what a student may learn of unlabelled images: pseudo.csv
      04c_look  what is said of new photographs: look.html  predictions.csv
    05_ensemble   joined by image id: predictions.csv  weights.csv
      05b_ablation  what each technique brings, beyond noise: ablation.csv
    06_report     how good, how sure, for whom: metrics.csv  figures/  report.html  report_card.md
      06b_explain  where the network looks: saliency.csv
      06c_choose  which threshold, by hand: operating_point.json
      06d_external  whether it holds elsewhere: external.csv  shift.csv
      06e_robustness  what blur, light, rulers and ink cost: robustness.csv  pulls.csv

Each notebook begins with `from melnb import data, models, evaluation, display` (and `params`,
`runs`, `tables`): seven doors, each a list of public names (its `__init__.pyi`), of which nothing
is imported before it is used. Behind them, a line imports only lines above it:

    tables/      what is handed on: images, folds, predictions; diagnoses; the same patient?
    params/      what a stage is told
    runs/        where it is written and found again
    data/        from files to batches of tensors
    models/      from batches to predictions
    evaluation/  from predictions to numbers (a stranger to models)
    display/     from numbers to figures, widgets and the report
    running/     one stage, many stages, what stands where
    cli          the command

Nothing is imported here, so that `import melnb` costs nothing.
"""

__version__ = "0.1.0"
