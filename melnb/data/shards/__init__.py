"""The shards room: rows of the images table become TFRecord files, in many processes.

The room's law: which image lies in which shard depends on its id, its fold and the seed alone; a
shard is whole or absent; what a worker process imports has no pandas in it.

    messages     one record: the message that it is, and what it must hold
    examples     a shard read and written, record after record, or one record at its place
    shard_files  one shard: pictures to examples to files, and the certificate that it is whole
    records      which rows make which shard, many at once; the index of a folder
"""
