"""A table of what a model consists of and what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minigrad import no_grad
from minigrad.trees import leaves
from nn.functional.settings import integer
from nn.module import Module, Parameter

LayerRow: TypeAlias = tuple[str, str, str, int, int]

HEADINGS = ("layer", "type", "output", "parameters", "multiply-adds")


def summary(model: Module, input_shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> str:
    """A table with one row for each call of a layer, in order, and the totals of the model.

    It is what happens when the model is called with one sample of zeros, in evaluation mode. The model is afterwards
    as it was before.

    Args:
        model: any module; its layers are those modules in it that call no other.
        input_shape: the shape of one sample, without the batch axis.
        dtype: of the sample.

    The output is that for one sample, without the batch axis; of several, the first. Parameters are counted where they
    are first used; the total is `num_parameters()`, so it has those as well that belong to no layer. Multiply-adds are
    those of matrix products and convolutions: for each element of a weight with two axes or more (but an embedding's,
    which is looked up, and a norm's, which multiplies elementwise), the number of positions at which it is used.

    Raises whatever the model raises when the input does not fit.

    >>> import nn
    >>> print(nn.Sequential(nn.Flatten(), nn.Linear(6, 2)).summary((2, 3)))
    layer  type     output  parameters  multiply-adds
    0      Flatten  (6,)             0              0
    1      Linear   (2,)            14             12
    total                           14             12
    """
    modules = [(name, module, dict(vars(module))) for name, module in model.named_modules()]
    called: list[Module] = []
    counted: set[Parameter] = set()
    rows: list[LayerRow] = []

    def watched(name: str, module: Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*inputs: Any, **named_inputs: Any) -> Any:
            called.append(module)
            before = len(called)
            output = forward(*inputs, **named_inputs)
            if len(called) > before:
                return output
            shape = next((leaf.shape for leaf in leaves([output]) if hasattr(leaf, "shape")), ())
            new = {*module.parameters()} - counted
            counted.update(new)
            numbers = sum(parameter.size for parameter in new), multiply_adds(module, shape)
            rows.append((name, type(module).__name__, str(shape[1:]), *numbers))
            return output

        return watching

    try:
        for name, module, _ in modules:  # an attribute is found before the method of the class
            vars(module)["forward"] = watched(name, module, module.forward)
        with model.in_mode(training=False), no_grad():
            model(zeros_of("summary", 1, input_shape, dtype))
    finally:
        for _, module, attributes in modules:
            vars(module).clear()
            vars(module).update(attributes)
    return table([*rows, ("total", "", "", model.num_parameters(), sum(row[-1] for row in rows))])


def table(rows: Sequence[LayerRow]) -> str:
    """The rows under their headings, each column as wide as its widest cell; words to the left, numbers right."""
    from minigrad.show.boxes import letters, padded  # drawings are not imported with `nn`

    cells = [HEADINGS, *((*texts, f"{count:,}", f"{cost:,}") for *texts, count, cost in rows)]
    widths = [max(map(letters, column)) for column in zip(*cells, strict=True)]
    aligned = ((padded(x, widths[i]) if i < 3 else x.rjust(widths[i]) for i, x in enumerate(row)) for row in cells)
    return "\n".join(map("  ".join, aligned))


def zeros_of(name: str, samples: int, input_shape: Sequence[int], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """So many samples of this shape; TypeError if it is none."""
    sides = [*map(integer, input_shape)] if isinstance(input_shape, Sequence) else [None]
    if not all(side is not None and side >= 0 for side in sides):
        raise TypeError(f"{name} expects input_shape to be that of one sample, such as (784,), got {input_shape!r:.80}")
    return np.zeros((samples, *input_shape), dtype)


def multiply_adds(module: Module, output: tuple[int, ...]) -> int:
    """How many a layer takes whose output has this shape, batch axis included; 0 if it multiplies no matrices."""
    weight: Any = getattr(module, "weight", None)
    if getattr(weight, "ndim", 0) < 2 or any(hasattr(module, name) for name in ("num_embeddings", "normalized_shape")):
        return 0
    positions = output[1:-1] if weight.ndim == 2 else output[2:]  # features come last, channels right after the batch
    return int(weight.size * prod(positions))
