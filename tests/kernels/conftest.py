"""One way to call a kernel on numpy arrays, whichever implementation answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from modelbuild import kernels
from modelbuild.kernels.operands import Delta, Dropped, Masked, Plus, Trimmed
from tests.support.raw import Raw


class On:
    """The kernels of a device, fed from and written back to numpy arrays."""

    def __init__(self, device: str) -> None:
        self.kernels = kernels.load(device)
        self.twin = device != "cpu"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *arguments, **options: self.call(name, *arguments, **options)

    def call(self, name: str, *arguments: Any, **options: Any) -> Any:
        """Call one kernel; chunks and bytes move to the device and back."""
        sent: dict[int, tuple[Any, Any]] = {}
        result = getattr(self.kernels, name)(*(self.send(argument, sent) for argument in arguments), **options)
        for array, tensor in sent.values():
            array[...] = tensor.cpu().numpy()
        return result if not self.twin or not hasattr(result, "cpu") else result.cpu().numpy()

    def send(self, argument: Any, sent: dict[int, tuple[Any, Any]]) -> Any:
        """Bring the arrays of an argument to the device, once each; leave the rest, counts among it."""
        if isinstance(argument, Raw):
            return self.kernels.stored(self.send(argument.data, sent), argument.dtype)
        if isinstance(argument, (Delta, Dropped, Masked, Plus, Trimmed)):
            return type(argument)(*(self.send(part, sent) for part in argument))
        if isinstance(argument, (tuple, list)) and not hasattr(argument, "_fields"):
            return tuple(self.send(part, sent) for part in argument)
        if not self.twin or not isinstance(argument, np.ndarray) or argument.dtype not in (np.float32, np.uint8, np.bool_):
            return argument
        import torch

        if id(argument) not in sent:
            sent[id(argument)] = argument, torch.tensor(argument, device=self.kernels.device)
        return sent[id(argument)][1]


@pytest.fixture(scope="session")
def cpu() -> On:
    """The compiled kernels."""
    return On("cpu")


@pytest.fixture(scope="session", params=["torch:cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def twin(request: pytest.FixtureRequest) -> On:
    """The kernels as torch operations."""
    torch = pytest.importorskip("torch")
    if request.param.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return On(request.param)


@pytest.fixture(scope="session", params=["cpu", "torch:cpu", pytest.param("cuda:0", marks=pytest.mark.gpu)])
def on(request: pytest.FixtureRequest) -> On:
    """Each implementation in turn."""
    if request.param == "cpu":
        return On("cpu")
    torch = pytest.importorskip("torch")
    if request.param.startswith("cuda") and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return On(request.param)
