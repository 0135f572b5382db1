"""The data room: from raw files to batches of tensors.

The room's law:

- Raw files are only read; what is made here is written under a temporary name, then renamed.
- Every table is one of `melnb.tables.schema`; every join is by `image_id`, and what others wrote is
  joined by `melnb.tables.overlap`, which says what is the same image, lesion or patient.
- A patient, a lesion, or a picture that is there twice lies in one fold; what is learnt from
  beside the folds holds none that is judged on.
- Pixels leave as float32, height x width x 3, 0-255; scaling belongs to the backbone.
- TensorFlow is imported in `streams` and `batches`, augmentation is Keras; everything before
  needs Pillow and NumPy.

A line imports only lines above it:

    hdf5  jpeg  decoding  mask_levels  pictures  bytes of a picture: decode, fit to a square, encode
    sources/  synthetic/            raw files to the images table
    cleaning                        hair removal, colour constancy
    skin  appearance_measures       the measures table: skin tone, colours
    metadata                        the images table to rows of numbers, for a network
    features/                       all that is known of each image, for a model of tables
    folds                           the images table to the folds table
    lesions/                        a segmenter's probabilities to masks, crops and measures
    shards/                         both tables to TFRecord shards, and shards to an index
    datasets                        dataset.json: which shard holds what
    audit/                          sizes, copies and damage, before shards are made and in them
    epochs/  pseudo_labels          what is learnt from: one's own images, others', unlabelled ones
    augmentation/                   what the accelerator changes
    streams  batches                shards to tensors: pictures and labels, pictures and masks
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
