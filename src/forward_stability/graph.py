r"""Any network as a list of folded layers: its own, or one that we did not write.

``torch.fx`` follows an image through the module and writes down a graph of layers and sums. A
chain of layers is a list. Where two values are added, both come from a nearest common ancestor a,
the immediate dominator of the sum: what lies between is two branches f and g, and the sum is
f(a) + g(a). So is every graph folded that is put together from chains and sums of two branches;
in others, which add values across branches, a layer would be counted twice. Chapter 15.
"""

import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.nn.modules.lazy import LazyModuleMixin

from forward_stability.errors import InputError
from forward_stability.folded_sum import FoldedSum
from forward_stability.folded_torch import FoldedAffine, FoldedConv2d, FoldedReLU, absorb
from forward_stability.folding import (
    FoldedConv,
    FoldedFlattening,
    FoldedGlobalPooling,
    FoldedLinear,
)
from forward_stability.layer import Folded, Layer, Size
from forward_stability.layers import Flattening
from forward_stability.models import Network, check_finite
from forward_stability.torch_layers import FOLDS, KNOWN, flattens, fold_module, layer_type


@torch.no_grad()
def fold(module: nn.Module) -> list[Folded]:
    """The layers 0 to N − 1 of a network in evaluation mode, batch normalisation folded in.

    Args:
        module: a :class:`~forward_stability.models.Network`, or any module that ``torch.fx`` traces
            into a graph of layers of this package, of those in
            :data:`~forward_stability.torch_layers.FOLDS`, and of sums of two; on any device, of
            any dtype, in any mode. It is not changed. The running statistics of a batch
            normalisation are folded and dropout is left out, as ``module.eval()`` computes it.

    Returns:
        float64 layers on the CPU; ``forward(fold(network), network.centred(images))`` are the
        scores of a Network, ``forward(fold(module), images)`` the output of another one.

    Raises:
        InputError: if something in it has no bound or is not finite; the message names it.

    Source: Remark 2, Eq. 27. Chapters 11 and 15.
    """
    if not isinstance(module, Network):
        return chain(trace(module))
    check_finite(module)
    folded = []
    for index, layer in enumerate(module.layers):
        if not isinstance(layer, Layer):
            raise InputError(f"layer {index}, a {type(layer).__name__}, cannot be folded")
        folded.append(_plain(layer.fold()))
    return folded


@dataclass(frozen=True)
class Step:
    """One operation of a graph.

    Attributes:
        name: of the layer in the module, or of the operation.
        inputs: the indices of the steps whose values it takes; two of them are added.
        folded: the operation on one value; None for the identity.
        module: the layer, if it is one.
    """

    name: str
    inputs: tuple[int, ...] = ()
    folded: Folded | None = None
    module: nn.Module | None = None


@torch.no_grad()
def trace(module: nn.Module) -> list[Step]:
    """The operations of a module in evaluation mode, in order, from its input to its output.

    Raises:
        InputError: as :func:`fold`, but for graphs of any form.
    """
    _check_forwards(module)
    module = nn.Sequential(module) if _is_leaf(module) else module
    steps: list[Step] = []
    index: dict[fx.Node, int] = {}
    flat: list[bool] = []
    with _evaluation(module):
        graph = _graph(module)
        _check_in_place(graph, module)
        for node in graph.nodes:
            step = _step(node, module, index)
            if steps and not step.inputs:
                raise InputError(
                    "the module takes more than one input: wrap it so that it takes one"
                )
            index[node] = len(steps)
            steps.append(step)
            flat.append(_flat(step, [flat[i] for i in step.inputs]))
    return steps


def _check_forwards(module: nn.Module) -> None:
    """Refuse what changes a forward where a graph does not see it."""
    for name, part in module.named_modules():
        hooked = part._forward_hooks or part._forward_pre_hooks
        if hooked and not issubclass(type(part), LazyModuleMixin):  # refused by its type
            raise InputError(
                f"{_title(name, part)}, has a forward hook, whose effect is not known: remove it; "
                "torch.nn.utils.parametrizations has norms of weights without one"
            )
        if "forward" in vars(part):
            raise InputError(
                f"{_title(name, part)}, has a forward that its class has not: give that of the "
                "class, such as the module before torch.compile"
            )


@contextmanager
def _evaluation(module: nn.Module) -> Iterator[None]:
    """The module and its parts in evaluation mode, and then in the modes that they had."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        for part, _ in modes:
            part.training = False
        yield
    finally:
        for part, mode in modes:
            part.training = mode


def entry_sizes(steps: list[Step], size: Size) -> list[Size]:
    """The height and width of what each step takes, for images of one size."""
    entries: list[Size] = []
    outputs: list[Size] = []
    for step in steps:
        entries.append(outputs[step.inputs[0]] if step.inputs else size)
        outputs.append(step.folded.output_size(entries[-1]) if step.folded else entries[-1])
    return entries


def chain(steps: list[Step]) -> list[Folded]:
    """The layers from the input to the output, sums with what lies in their branches.

    Raises:
        InputError: if a value is added across branches.
    """
    dominators = _dominators(steps)
    seen: set[int] = set()

    def between(start: int, end: int) -> list[Folded]:
        layers: list[Folded] = []
        while end != start:
            step = steps[end]
            if end in seen:
                raise InputError(
                    f"the value of {step.name} enters two sums that are not one inside the other: "
                    "only sums of two branches that begin at one value, x + f(x) or "
                    "g(x) + f(x), have a bound here"
                )
            seen.add(end)
            folded = step.folded
            if len(step.inputs) == 2:
                one, other = (tuple(between(dominators[end], i)) for i in step.inputs)
                folded = FoldedSum((one, other))
            if folded is not None:
                layers.append(folded)
            end = dominators[end]
        return _absorbed(layers[::-1])

    return between(0, len(steps) - 1)


def _dominators(steps: list[Step]) -> list[int]:
    """For each step the last one before it that every path from the input goes through."""
    dominators = [-1]
    for step in steps[1:]:
        one, other = step.inputs[0], step.inputs[-1]
        while one != other:  # the steps are in order, so that the later one goes back
            if one > other:
                one = dominators[one]
            else:
                other = dominators[other]
        dominators.append(one)
    return dominators


def _absorbed(layers: list[Folded]) -> list[Folded]:
    """The list with every batch normalisation behind a convolution folded into it."""
    result: list[Folded] = []
    for layer in layers:
        if result and isinstance(layer, FoldedAffine):
            last = result[-1]
            if isinstance(last, FoldedConv | FoldedConv2d):
                result[-1] = absorb(last, layer)
                continue
        result.append(layer)
    return result


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return _is_leaf(m)


def _is_leaf(module: nn.Module) -> bool:
    kind = layer_type(module)
    ours = isinstance(module, Layer) or kind in FOLDS
    return ours or (kind.__module__.startswith("torch.nn.") and kind is not nn.Sequential)


def _graph(module: nn.Module) -> fx.Graph:
    try:
        return _Tracer().trace(module)
    except Exception as error:  # whatever the forward of others raises
        raise InputError(
            f"torch.fx cannot trace {type(module).__name__}: {error} -- its forward must not "
            "depend on the values or the shape of its input"
        ) from error


ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
RELUS = (F.relu, torch.relu, torch.relu_, F.relu_, "relu", "relu_")
FLATTENINGS = (torch.flatten, "flatten")
IN_PLACE = (operator.iadd, torch.relu_, F.relu_, "add_", "relu_")


def _step(node: fx.Node, module: nn.Module, index: dict[fx.Node, int]) -> Step:
    """The step of a node of the graph."""
    if node.op == "placeholder":
        return Step(node.name)
    values = [v for v in (*node.args, *node.kwargs.values()) if isinstance(v, fx.Node)]
    inputs = tuple(index[value] for value in values if value in index)
    if node.op == "output":
        if not inputs:
            raise InputError("the module must return one tensor: wrap it so that it does")
        return Step(node.name, inputs)
    if node.op == "call_module":
        layer, name = module.get_submodule(str(node.target)), str(node.target)
        if len(inputs) != 1 or len(node.args) + len(node.kwargs) != 1:
            raise InputError(f"{_title(name, layer)}, must take one value and nothing else")
        return Step(_title(name, layer), inputs, _folded(layer, _title(name, layer)), layer)
    title = f"{_operation(node)} in {_place(node, module)}"
    if node.target in ADDITIONS and len(node.args) == 2 and not node.kwargs:
        if len(inputs) != 2:
            raise InputError(f"{title} adds a constant, which has no bound here: use a bias")
        return Step(title, inputs)
    if len(inputs) == 1 and node.target in RELUS:
        return Step(title, inputs, FoldedReLU())
    if len(inputs) == 1 and node.target in FLATTENINGS:
        start, end = (*node.args[1:], *(0, -1)[len(node.args) - 1 :])
        start, end = node.kwargs.get("start_dim", start), node.kwargs.get("end_dim", end)
        return Step(title, inputs, _explained(lambda: flattens(start, end), title))
    raise InputError(f"{title} has no bound here. {KNOWN}")


def _folded(layer: nn.Module, title: str) -> Folded | None:
    """A layer that was folded, on the CPU, with finite weights."""
    folded = _explained(lambda: fold_module(layer), title)
    if folded is None:
        return None
    folded = _plain(folded)
    # Folding hides an infinite variance: what is divided by it is 0.
    for value in (*layer.state_dict().values(), *vars(folded).values()):
        if isinstance(value, Tensor) and not bool(torch.isfinite(value).all()):
            raise InputError(f"{title}, has a weight that is not finite: train it again")
    return folded


def _plain(folded: Folded) -> Folded:
    """The layer with its tensors on the CPU."""
    values = {f.name: getattr(folded, f.name) for f in fields(folded)}
    tensors = {name: v.detach().cpu() for name, v in values.items() if isinstance(v, Tensor)}
    return replace(folded, **tensors)


def _explained(make: Callable[[], Any], title: str) -> Any:
    try:
        return make()
    except InputError as error:
        raise InputError(f"{title}: {error}") from None


def _flat(step: Step, inputs: list[bool]) -> bool:
    """Whether the value is a vector, without height and width.

    Raises:
        InputError: if the operation is not for such a value.
    """
    flat, folded = any(inputs), step.folded
    if isinstance(folded, FoldedLinear) and not flat:
        raise InputError(
            f"{step.name}: a Linear acts on the last axis, here the width of the features: "
            "flatten them before (Flatten)"
        )
    anywhere = isinstance(folded, FoldedLinear | FoldedReLU | FoldedFlattening)
    if flat and folded is not None and not anywhere:
        raise InputError(f"{step.name} needs features with height and width, but gets vectors")
    return flat or isinstance(folded, FoldedFlattening | FoldedGlobalPooling)


def _check_in_place(graph: fx.Graph, module: nn.Module) -> None:
    """Refuse to change a value in place that is used afterwards: the graph would not see it."""
    order = {node: number for number, node in enumerate(graph.nodes)}
    storage: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        layer = module.get_submodule(str(node.target)) if node.op == "call_module" else None
        changes = node.target in IN_PLACE or node.kwargs.get("inplace") is True
        changes |= node.target in RELUS and True in node.args[1:]
        changes |= bool(getattr(layer, "inplace", False)) and isinstance(layer, nn.ReLU)
        views = node.target in FLATTENINGS or isinstance(layer, VIEWS)
        inputs = node.all_input_nodes
        storage[node] = storage[inputs[0]] if inputs and (changes or views) else node
        if not changes:
            continue
        for other, where in storage.items():
            late = any(order[user] > order[node] for user in other.users)
            if other is not node and where is storage[node] and late:
                what = _title(str(node.target), layer) if layer else _operation(node)
                raise InputError(
                    f"{what}, in {_place(node, module)}, changes a value in place that is used "
                    "afterwards: use inplace=False, or x = x + y"
                )


VIEWS = (nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten, Flattening)
"""Layers whose output shares its numbers with the input in evaluation mode."""


def _title(name: str, module: nn.Module) -> str:
    kind = layer_type(module).__name__
    return f"layer {name}, a {kind}" if name else f"the module, a {kind}"


def _operation(node: fx.Node) -> str:
    if node.op == "get_attr":
        return f"the parameter or buffer {node.target}"
    kind = "method" if node.op == "call_method" else "function"
    return f"the {kind} {getattr(node.target, '__name__', node.target)}"


def _place(node: fx.Node, module: nn.Module) -> str:
    """The innermost module whose forward calls it."""
    stack = [name for name, _ in node.meta.get("nn_module_stack", {}).values()]
    if node.op == "call_module":
        stack = stack[:-1]
    name = stack[-1] if stack else ""
    part = module.get_submodule(name)
    return f"{name or 'the module'} ({layer_type(part).__name__})"
