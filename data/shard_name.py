"""How the files of a split are called."""

from __future__ import annotations


def shard_name(*, split: str, shard: int, shards: int, compression: str) -> str:
    """The file name of a shard, e.g. `train-00002-of-00016.tfrecord.gz`."""
    return f"{split}-{shard:05d}-of-{shards:05d}.tfrecord" + (".gz" if compression else "")
