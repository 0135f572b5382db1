"""Where a run is written, what it records, and how it is found again.

The room's law: a run is one folder, whole or absent; `run.json` is written last. What a run wrote
is what lies there, and what it read is recorded, raw data too.

    provenance  what a run was made of: hashes, versions, commit
    raw_data    what lay in a source's folder
    folders     one writer, a partial name, a rename at the end
    store       open a run, record what it reads, finish it
    lookup      earlier runs by name
    newest      the last that judged a training run, or audited a dataset
    asking      a look at one picture after another, in this process
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
