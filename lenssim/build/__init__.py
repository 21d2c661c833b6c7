"""Making an archive: by simulation, by import, by export.

plan          what is asked for against what an archive holds
run           carrying out a plan, one task a Zarr shard
shard         simulating one shard and writing it
execution     running tasks on this machine or on a dask.distributed cluster
generate      simulating a data set in one call
export        WebDataset shards of an archive
description   card, picture and tables of an archive
importers/    archives from the data of others
"""
