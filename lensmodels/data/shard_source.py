"""Reading WebDataset shards of an archive."""

from lensmodels.data.source import Source

SHARDS = "shards"


class ShardSource(Source):
    pass
