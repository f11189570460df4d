"""Median: of each entry the middle value, which a single model gone astray does not move.

Source: Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", 2018,
https://arxiv.org/abs/1803.01498, definition 1.
"""

import torch

from modelbuild.method import method


@method(revision=1)
def median(tensors: list[torch.Tensor]) -> torch.Tensor:
    """Take the middle value of each entry; of an even number of models, the mean of the two in the middle."""
    ordered = torch.stack(tensors).sort(dim=0).values  # (n, *S)
    n = len(tensors)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2
