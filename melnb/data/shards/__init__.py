"""The shards room: rows of the images table become files, in many processes.

The room's law: which image lies in which shard depends on its id, its fold and the seed alone; a
shard is whole or absent; what a worker process imports has no pandas in it.

    messages   one record: the message that it is
    examples   a shard read and written, record after record
    access     a record read at its place
    files      one shard: pictures to examples to files, and the certificate that it is whole
    workers    many shards at once
    plans      which rows make which shard; what an earlier run left in the folder
"""
