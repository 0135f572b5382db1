"""The data room: from raw files to batches of tensors.

The room's law:

- Raw files are only read; what is made here is written under a temporary name, then renamed.
- Every table is one of `melnb.tables`; every join is by `image_id`, and what others wrote is
  joined by `melnb.patients.overlap`, which says what is the same image, lesion or patient.
- A patient, a lesion, or a picture that is there twice lies in one fold; what is learnt from
  beside the folds holds none that is judged on.
- Pixels leave as float32, height x width x 3, 0-255; scaling belongs to the backbone.
- TensorFlow is imported in `streams` and the batches made of them, augmentation is Keras;
  everything before needs Pillow and NumPy.

A line imports only lines above it:

    pictures                     bytes of a picture: decode, fit to a square, encode
    processes                    workers that begin and end as they should
    sources/  synthetic/         raw files to the images table
    appearance/                  the measures table; hairs removed, light made white
    metadata                     the images table to rows of numbers, for a network
    features/                    all that is known of each image, a row each, for a model of tables
    folds                        the images table to the folds table
    lesions/                     a segmenter's probabilities to masks, crops and measures
    shards/  records             both tables to shards, and shards to an index
    datasets                     dataset.json: which shard holds what
    audit/                       sizes, copies and damage, before shards are made and in them
    epochs/  pseudo/             what is learnt from: one's own images, others', unlabelled ones
    augmentation/                what the accelerator changes
    streams                      records as they come, by plan or in file order
    batches  mask_batches        shards to tensors: pictures and labels, pictures and masks
"""
