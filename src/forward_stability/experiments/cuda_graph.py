"""A function as a CUDA graph, with the fastest deterministic algorithms of cuDNN. Chapter 13."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def measuring() -> Iterator[None]:
    """cuDNN takes the fastest deterministic algorithm, by measuring them.

    And the compiler does not warn that the classifier multiplies in float32, not TF32.
    """
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark = cudnn.deterministic = True
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "TensorFloat32 tensor cores")
            yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


class Graphed:
    """A function of one tensor as a CUDA graph: launched as a whole instead of kernel by kernel.

    The first :data:`WARM_UP` calls with each shape are plain ones, in which libraries choose their
    algorithms (cuDNN by measuring them); then the kernels are recorded, and replayed from there on.
    The function must not wait for the device, and keeps its results by writing to tensors that
    stay. It is recorded on a stream of its own: graphs that are recorded on one stream share the
    scratch memory of cuBLAS, which is freed with the first of them.

    Args:
        function: from a tensor on a GPU to a tensor.

    Source: PyTorch's notes on CUDA semantics, "CUDA Graphs"; its issue 193402. Chapter 13.
    """

    WARM_UP = 3

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        self.function = function
        self.stream = torch.cuda.Stream()
        self.calls: Counter[torch.Size] = Counter()
        self.graphs: dict[torch.Size, tuple[torch.cuda.CUDAGraph, Tensor, Tensor]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        if self.calls[x.shape] < self.WARM_UP:
            self.calls[x.shape] += 1
            self.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self.stream), measuring():
                result = self.function(x)
            torch.cuda.current_stream().wait_stream(self.stream)
            return result
        if x.shape not in self.graphs:
            graph, given = torch.cuda.CUDAGraph(), x.clone()
            with torch.cuda.graph(graph, stream=self.stream), measuring():
                result = self.function(given)
            self.graphs[x.shape] = graph, given, result
        graph, given, result = self.graphs[x.shape]
        given.copy_(x)
        graph.replay()
        return result.clone()
