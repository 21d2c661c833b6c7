"""Which of the processes that train together this one is."""

from __future__ import annotations

import torch
from lightning.pytorch.utilities.rank_zero import rank_zero_only


def rank_zero() -> bool:
    """Whether this is the only process, or the one that writes."""
    return getattr(rank_zero_only, "rank", None) in (0, None)


def mean_over_processes(value: torch.Tensor) -> torch.Tensor:
    """The mean of a number over all processes that train, on each of them."""
    if not torch.distributed.is_initialized():
        return value
    total = value.clone()
    torch.distributed.all_reduce(total)
    return total / torch.distributed.get_world_size()


def wait_for_all() -> None:
    """Returns once every process that trains has come here; at once where there is one."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
