"""Models as ONNX files, which other runtimes and devices can read.

A file has one node or a few for each layer, in evaluation mode: dropout is left out, batch norm uses what it has
estimated. Shapes are those of one sample, and the number of samples is free.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from minigrad import __version__, no_grad, value
from minigrad.arrays import Array
from nn import layers
from nn.data import Normalize
from nn.extras import required
from nn.files import atomic_write, checked_metadata
from nn.functional.convolution import margins
from nn.functional.pooling import spans
from nn.functional.settings import pair
from nn.layers.batchnorm import BatchNorm
from nn.layers.convolution import PADDING_MODES
from nn.layers.pooling import Pool2d
from nn.module import Module, Parameter, joined
from nn.summary import zeros_of

OPSET, IR_VERSION = 18, 8  # of 2022: what is deployed knows them
SAMPLES = 3  # of the example that tells the shapes


def export_onnx(
    model: Module, path: str | os.PathLike[str], input_shape: Sequence[int], *, dtype: npt.DTypeLike | None = None,
    transform: Normalize | None = None, metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a model of the layers of `nn` as an ONNX file, in evaluation mode. Needs the library onnx.

    The input is called `input`, (batch, *input_shape), the output `output`; the batch may have any length. Models are
    made of layers, `Sequential`, `Residual` and `MirrorAverage`: of a module with a `forward` of its own nobody knows
    what it does.

    Args:
        model: stays as it is.
        path: of the file; replaced when all of it is written.
        input_shape: of one sample, without the batch axis.
        dtype: of the input; by default that of the parameters, or int64 for an `Embedding` in front.
        transform: is made part of the file; inputs are bytes then (see `nn.data.Normalize`).
        metadata: what JSON can hold, by name, for the file's own metadata; strings are kept as they are.

    Raises:
        ImportError: if onnx is not installed.
        TypeError: if there is a module that no node of ONNX stands for; the message says where. If the model is no
            module at all, or the transform something else than a `Normalize`.
        ValueError: if the input does not fit the model, or ONNX cannot express a setting of a layer, parameters of
            different dtypes, or an axis that grows with the number of samples.
        nn.FileError: if the file cannot be written, or the metadata are none.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx(layers.Sequential(layers.Linear(784, 10), layers.Softmax(1)), f"{folder}/model.onnx", (784,))
    """
    from pathlib import Path

    onnx = required("onnx", "writing an ONNX file")
    required("onnx.helper", "writing an ONNX file")
    check_parts(model, transform)
    dtype = np.uint8 if transform else dtype or input_dtype(model)
    graph = OnnxGraph(onnx, {id(parameter): name for name, parameter in model.named_parameters()})
    sample = Value("input", zeros_of("export_onnx", SAMPLES, input_shape, dtype))
    with model.in_mode(training=False), no_grad():
        given = sample if transform is None else standardised(graph, transform, sample)
        result = graph.convert(model, given)
        model(np.concatenate([given.data, given.data]))  # raises if it took the samples for features
    outputs = [Value(graph.node("Identity", result.name, name="output"), result.data)]
    ends = [[graph.described(end) for end in each] for each in ([sample], outputs)]
    body = onnx.helper.make_graph(graph.nodes, type(model).__name__, *ends, graph.constants)
    file = onnx_model(onnx, body, checked_metadata(Path(path), metadata))
    try:
        onnx.checker.check_model(file, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ValueError(f"ONNX cannot express this model: {error}") from error
    with atomic_write(path, "wb") as target:
        target.write(file.SerializeToString())


def check_parts(model: Any, transform: Any) -> None:
    """Raise TypeError if the model is no module, or the transform no `Normalize`."""
    for part, kind, name in (model, Module, "a model of layers"), (transform, Normalize | None, "a Normalize(...)"):
        if not isinstance(part, kind):
            raise TypeError(f"export_onnx expects {name}, got {part!r:.80}")


def onnx_model(onnx: Any, body: Any, metadata: Mapping[str, Any]) -> Any:
    """A graph with what a file has besides: versions, and metadata as texts."""
    file = onnx.helper.make_model(
        body, opset_imports=[onnx.helper.make_opsetid("", OPSET)], ir_version=IR_VERSION,
        producer_name="minigrad", producer_version=__version__,
    )
    texts = {name: x if isinstance(x, str) else json.dumps(x) for name, x in metadata.items()}
    onnx.helper.set_model_props(file, texts)
    return file


def what_it_does(kind: type[Module]) -> tuple[Any, Any]:
    """Its `forward`, and the function that many layers call there: a class of one's own may replace either."""
    return kind.forward, getattr(kind, "function", None)


def input_dtype(model: Module) -> npt.DTypeLike:
    """What a model is fed with: integers if it looks them up first, else what its parameters are."""
    first = next((module for module in model.modules() if not isinstance(module, layers.Sequential)), None)
    if isinstance(first, layers.Embedding):
        return np.int64
    return next((parameter.dtype for parameter in model.parameters()), np.dtype(np.float32))


class Value(NamedTuple):
    """What a module takes or gives: its name in the graph, and an example of it for as many as `SAMPLES`."""

    name: str
    data: Array


class OnnxGraph:
    """The nodes and constants so far, and the dotted name of the module whose nodes are being added.

    Args:
        onnx: the library.
        names: of the parameters, by `id`: those that layers share are written once.
    """

    def __init__(self, onnx: Any, names: dict[int, str]) -> None:
        self.onnx, self.names = onnx, names
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.written: set[str] = set()
        self.scope = ""

    def convert(self, module: Module, x: Value, name: str = "") -> Value:
        """Add what a module does to `x`; `name` is its own within the module around it."""
        outer, self.scope = self.scope, joined(self.scope, name)
        for kind, converter in CONVERTERS.items():
            if isinstance(module, kind) and what_it_does(type(module)) == what_it_does(kind):
                made = converter(self, module, x)
                self.scope = outer
                return made if isinstance(made, Value) else Value(made, value(module(x.data)))
        place = f"{type(module).__name__} at {self.scope!r}" if self.scope else f"a {type(module).__name__}"
        raise TypeError(f"export_onnx does not know what {place} does: build it of layers, Sequential and Residual")

    def node(self, operation: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        """Add a node, and return the name of what it gives; attributes that are None are left out."""
        name = name or f"{self.scope}/{operation}_{len(self.nodes)}".lstrip("/")
        given = {key: x for key, x in attributes.items() if x is not None}
        self.nodes.append(self.onnx.helper.make_node(operation, inputs, [name], name=f"node/{name}", **given))
        return name

    def constant(self, data: Any, name: str = "") -> str:
        """Add numbers that belong to the model, and return their name."""
        name = name or f"constant_{len(self.constants)}"
        if name not in self.written:
            self.written.add(name)
            self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(data), name))
        return name

    def like(self, number: float, x: Value) -> str:
        """A constant of the dtype of `x`."""
        return self.constant(np.array(number, x.data.dtype))

    def parameter(self, parameter: Parameter) -> str:
        """A parameter, by its dotted name; a tensor in the place of one, which has none, by another."""
        return self.constant(parameter.data, self.names.get(id(parameter), ""))

    def reshaped(self, x: str, *shape: int) -> str:
        """`x` in another shape, where 0 is for an axis that stays, and -1 for what is left."""
        return self.node("Reshape", x, self.constant(np.array(shape, np.int64)))

    def affine(self, x: str, weight: Parameter | None, bias: Parameter | None, shape: Sequence[int]) -> str:
        """`x` times a weight plus a bias, where there are any, both brought into `shape`."""
        for operation, parameter in (("Mul", weight), ("Add", bias)):
            if parameter is not None:
                x = self.node(operation, x, self.constant(parameter.data.reshape(shape)))
        return x

    def described(self, end: Value) -> Any:
        """Name, dtype and shape of an input or output; the batch has any length."""
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(end.data.dtype)
        return self.onnx.helper.make_tensor_value_info(end.name, kind, ["batch", *end.data.shape[1:]])


def standardised(graph: OnnxGraph, transform: Normalize, x: Value) -> Value:
    """What `Normalize` makes of bytes, in the same two steps."""
    pixels = Value(graph.node("Cast", x.name, to=graph.onnx.TensorProto.FLOAT), x.data.astype(np.float32))
    scaled = graph.node("Mul", pixels.name, graph.like(1 / (255 * transform.std), pixels))
    return Value(graph.node("Add", scaled, graph.like(-transform.mean / transform.std, pixels)), pixels.data)


# ------------------------------------------------------------------------------------------------ layers

# Of a layer and its input: the name of its output, with the example of it where the layers within have made one.
Converter = Callable[[OnnxGraph, Any, Value], str | Value]
CONVERTERS: dict[type[Module], Converter] = {}


def converts(*kinds: type[Module]) -> Callable[[Converter], Converter]:
    """Say that a function adds the nodes of these layers."""

    def known(converter: Converter) -> Converter:
        CONVERTERS.update(dict.fromkeys(kinds, converter))
        return converter

    return known


@converts(layers.Sequential)
def of_sequential(graph: OnnxGraph, layer: layers.Sequential, x: Value) -> Value:
    for name, inner in layer._named().items():
        x = graph.convert(inner, x, name)
    return x


@converts(layers.Residual)
def of_residual(graph: OnnxGraph, layer: layers.Residual, x: Value) -> str:
    kept = x if layer.shortcut is None else graph.convert(layer.shortcut, x, "shortcut")
    return graph.node("Add", graph.convert(layer.module, x, "module").name, kept.name)


@converts(layers.MirrorAverage)
def of_mirror_average(graph: OnnxGraph, layer: layers.MirrorAverage, x: Value) -> Value:
    """The logarithm of a mean, as the greater of two plus softplus of how far the lesser one is below it."""
    ends = [graph.constant(np.array([number], np.int64)) for number in (-1, np.iinfo(np.int64).min, -1, -1)]
    mirrored = Value(graph.node("Slice", x.name, *ends), x.data[..., ::-1])
    logits = [graph.convert(layer.module, images, "module") for images in (x, mirrored)]
    both = [graph.node("LogSoftmax", each.name, axis=1) for each in logits]
    most, least = (graph.node(operation, *both) for operation in ("Max", "Min"))
    beyond = graph.node("Softplus", graph.node("Sub", least, most))
    average = graph.node("Sub", graph.node("Add", most, beyond), graph.like(np.log(2), logits[0]))
    return Value(average, logits[0].data)  # of its shape


@converts(layers.Dropout, layers.Dropout2d, layers.Identity)
def of_nothing(graph: OnnxGraph, layer: Module, x: Value) -> str:
    return x.name


@converts(layers.Flatten, layers.Unflatten)
def of_shape(graph: OnnxGraph, layer: Module, x: Value) -> str:
    shape, twice = layer(x.data).shape, layer(np.concatenate([x.data, x.data])).shape
    if twice != (2 * shape[0], *shape[1:]):
        kind, place = type(layer).__name__, graph.scope
        raise ValueError(f"export_onnx leaves the number of samples free, which {kind} at {place!r} puts elsewhere")
    return graph.reshaped(x.name, 0 if len(x.data) == shape[0] else -1, *shape[1:])


@converts(layers.Linear)
def of_linear(graph: OnnxGraph, layer: layers.Linear, x: Value) -> str:
    if x.data.ndim == 2:
        parameters = [graph.parameter(p) for p in (layer.weight, layer.bias) if p is not None]
        return graph.node("Gemm", x.name, *parameters, transB=1)
    product = graph.node("MatMul", x.name, graph.constant(layer.weight.data.T))
    return graph.affine(product, None, layer.bias, (-1,))


@converts(layers.Embedding)
def of_embedding(graph: OnnxGraph, layer: layers.Embedding, x: Value) -> str:
    return graph.node("Gather", graph.parameter(layer.weight), x.name)


# .............................................................................................. elementwise


def same_name(operation: str) -> Converter:
    """The converter of a layer that ONNX has an operation for, along its axis if it has one."""
    return lambda graph, layer, x: graph.node(operation, x.name, axis=getattr(layer, "dim", None))


CONVERTERS |= {
    layers.ReLU: same_name("Relu"), layers.Sigmoid: same_name("Sigmoid"), layers.Tanh: same_name("Tanh"),
    layers.Softmax: same_name("Softmax"), layers.LogSoftmax: same_name("LogSoftmax"),
    layers.LeakyReLU: lambda graph, layer, x: graph.node("LeakyRelu", x.name, alpha=float(layer.negative_slope)),
    layers.ELU: lambda graph, layer, x: graph.node("Elu", x.name, alpha=float(layer.alpha)),
    layers.SiLU: lambda graph, layer, x: graph.node("Mul", x.name, graph.node("Sigmoid", x.name)),
}


@converts(layers.Softplus)
def of_softplus(graph: OnnxGraph, layer: layers.Softplus, x: Value) -> str:
    beta = graph.like(layer.beta, x)
    return graph.node("Div", graph.node("Softplus", graph.node("Mul", x.name, beta)), beta)


@converts(layers.GELU)
def of_gelu(graph: OnnxGraph, layer: layers.GELU, x: Value) -> str:
    """x times half of 1 + erf(x / √2), or of 1 + tanh(√(2/π) (x + 0.044715 x³))."""
    if layer.approximate == "none":
        bent = graph.node("Erf", graph.node("Mul", x.name, graph.like(0.5**0.5, x)))
    else:
        cube = graph.node("Mul", graph.node("Pow", x.name, graph.like(3, x)), graph.like(0.044715, x))
        scale = graph.like((2 / np.pi) ** 0.5, x)
        bent = graph.node("Tanh", graph.node("Mul", graph.node("Add", x.name, cube), scale))
    share = graph.node("Mul", graph.node("Add", bent, graph.like(1, x)), graph.like(0.5, x))
    return graph.node("Mul", x.name, share)


# .............................................................................................. norms


@converts(BatchNorm)
def of_batch_norm(graph: OnnxGraph, layer: BatchNorm, x: Value) -> str:
    if layer.running_mean is None or layer.running_var is None:
        raise ValueError(f"export_onnx needs the running statistics of the batch norm at {graph.scope!r}: it has none")
    ones, zeros = np.ones_like(layer.running_var), np.zeros_like(layer.running_mean)
    numbers = [
        graph.constant(ones) if layer.weight is None else graph.parameter(layer.weight),
        graph.constant(zeros) if layer.bias is None else graph.parameter(layer.bias),
        graph.constant(layer.running_mean, f"{graph.scope}.running_mean".lstrip(".")),
        graph.constant(layer.running_var, f"{graph.scope}.running_var".lstrip(".")),
    ]
    return graph.node("BatchNormalization", x.name, *numbers, epsilon=float(layer.eps))


@converts(layers.LayerNorm)
def of_layer_norm(graph: OnnxGraph, layer: layers.LayerNorm, x: Value) -> str:
    shape = layer.normalized_shape
    scale = np.ones(shape, x.data.dtype) if layer.weight is None else layer.weight.data
    parameters = [graph.constant(scale), *([] if layer.bias is None else [graph.constant(layer.bias.data)])]
    return graph.node("LayerNormalization", x.name, *parameters, axis=-len(shape), epsilon=float(layer.eps))


@converts(layers.GroupNorm)
def of_group_norm(graph: OnnxGraph, layer: layers.GroupNorm, x: Value) -> str:
    """Each group as one long channel of an instance norm; the node of that name came later."""
    groups = graph.reshaped(x.name, 0, layer.num_groups, -1)
    ones, zeros = (graph.constant(f(layer.num_groups, x.data.dtype)) for f in (np.ones, np.zeros))
    normal = graph.node("InstanceNormalization", groups, ones, zeros, epsilon=float(layer.eps))
    again = graph.reshaped(normal, 0, *x.data.shape[1:])
    return graph.affine(again, layer.weight, layer.bias, (-1, *[1] * (x.data.ndim - 2)))


# .............................................................................................. images


@converts(layers.Conv2d)
def of_convolution(graph: OnnxGraph, layer: layers.Conv2d, x: Value) -> str:
    before, after = margins("Conv2d", layer.padding, layer.kernel_size, layer.stride, layer.dilation)
    images = x.name
    if layer.padding_mode != "zeros":
        for axis, size in enumerate(x.data.shape[2:4], 2):
            around = np.pad(np.arange(size), (before[axis - 2], after[axis - 2]), PADDING_MODES[layer.padding_mode])  # type: ignore[call-overload]
            images = graph.node("Gather", images, graph.constant(around), axis=axis)
        before = after = (0, 0)
    parameters = [graph.parameter(p) for p in (layer.weight, layer.bias) if p is not None]
    return graph.node(
        "Conv", images, *parameters, kernel_shape=layer.kernel_size, strides=layer.stride,
        pads=[*before, *after], dilations=layer.dilation, group=layer.groups,
    )


@converts(layers.MaxPool2d)
def of_max_pool(graph: OnnxGraph, layer: layers.MaxPool2d, x: Value) -> str:
    dilation, images = pair("MaxPool2d", "dilation", layer.dilation), x.name
    settings = window_attributes(layer, dilation, x.data)
    if any(pad >= size for pad, size in zip(settings["pads"], 2 * settings["kernel_shape"], strict=True)):
        images = padded(graph, x, settings["pads"], -np.inf)  # which a pool itself must not do
        settings["pads"] = [0, 0, 0, 0]
    return graph.node("MaxPool", images, dilations=dilation, **settings)


def padded(graph: OnnxGraph, x: Value, pads: Sequence[int], number: float) -> str:
    """An image with a number around it: as often above, left, below and right as `pads` says."""
    top, left, bottom, right = pads
    widths = graph.constant(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    return graph.node("Pad", x.name, widths, graph.like(number, x))


@converts(layers.AvgPool2d)
def of_average_pool(graph: OnnxGraph, layer: layers.AvgPool2d, x: Value) -> str:
    """Sums over all windows divided by as many elements as count: ONNX may count the padding, the overhang never."""
    settings, images = window_attributes(layer, (1, 1), x.data), x.name
    size, divisor = prod(settings["kernel_shape"]), layer.divisor_override
    if divisor is not None:
        means = graph.node("AveragePool", images, count_include_pad=1, **settings)
        return graph.node("Mul", means, graph.like(size / divisor, x))
    padding = pair("AvgPool2d", "padding", layer.padding, 0)
    counts_padding = layer.count_include_pad
    if counts_padding and settings["pads"] != [*padding, *padding]:
        images, counts_padding = padded(graph, x, [*padding, *padding], 0), False
        settings["pads"] = [0, 0, *(pad - n for pad, n in zip(settings["pads"][2:], padding, strict=True))]
    return graph.node("AveragePool", images, count_include_pad=int(counts_padding), **settings)


def window_attributes(layer: Pool2d, dilation: tuple[int, int], x: Array) -> dict[str, Any]:
    """The attributes of a pool whose windows reach as far over the edges of `x` as those of the layer."""
    name, out = type(layer).__name__, layer(x)
    kernel, stride = pair(name, "kernel_size", layer.kernel_size), pair(name, "stride", layer.stride)
    before = pair(name, "padding", layer.padding, 0)
    reach = [
        (m - 1) * s + d * (k - 1) + 1 - n - b
        for m, n, s, d, k, b in zip(out.shape[2:], x.shape[2:], stride, dilation, kernel, before, strict=True)
    ]
    after = [max(pair) for pair in zip(before, reach, strict=True)]
    return {"kernel_shape": kernel, "strides": stride, "pads": [*before, *after]}


@converts(layers.AdaptiveAvgPool2d)
def of_adaptive_average(graph: OnnxGraph, layer: layers.AdaptiveAvgPool2d, x: Value) -> str:
    """A product with a matrix of shares for the rows, and one for the columns."""
    sizes = layer(x.data).shape[2:]
    rows, columns = (
        np.array([share(span, n) for span in spans(n, m)], x.data.dtype)
        for n, m in zip(x.data.shape[2:], sizes, strict=True)
    )
    return graph.node("MatMul", graph.node("MatMul", graph.constant(rows), x.name), graph.constant(columns.T))


def share(span: slice, length: int) -> Array:
    """(length,) equal numbers inside of a span, whose sum is 1, and zeros elsewhere."""
    inside = np.zeros(length)
    inside[span] = 1 / (span.stop - span.start)
    return inside


@converts(layers.AdaptiveMaxPool2d)
def of_adaptive_maximum(graph: OnnxGraph, layer: layers.AdaptiveMaxPool2d, x: Value) -> str:
    """Axis by axis: the largest of each span, next to each other."""
    sizes, images = layer(x.data).shape[2:], x.name
    for axis, parts in zip((2, 3), sizes, strict=True):
        places = [np.arange(span.start, span.stop) for span in spans(x.data.shape[axis], parts)]
        pieces = [graph.node("Gather", images, graph.constant(each), axis=axis) for each in places]
        largest = [graph.node("ReduceMax", piece, graph.constant(np.array([axis]))) for piece in pieces]
        images = graph.node("Concat", *largest, axis=axis)
    return images
