"""Making an archive: by simulation, by import, by export.

pipeline      from a specification to an archive, one task a Zarr shard
execution     running tasks on threads or on a dask.distributed cluster
generate      simulating a data set in one call
export        WebDataset shards of an archive
description   card, picture and tables of an archive
importers/    archives from the data of others
"""
