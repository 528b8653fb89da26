import re
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import gradcheck
from minigrad.testing.layouts import LAYOUTS, repeated
from nn import functional as F
from nn.functional import convolution
from nn.functional.convolution import Geometry
from tests.nn.test_functional import gradcheck_twice

seeds = st.integers(0, 2**32 - 1)
pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
GEOMETRIES = [  # kernel, stride, padding, dilation: what the gradient of the input is computed by differs among these
    Geometry((1, 1)),
    Geometry((3, 2)),
    Geometry((2, 3), padding=(1, 2)),
    Geometry((1, 2), padding=(2, 1)),
    Geometry((2, 3), stride=(2, 1), padding=(0, 1)),
    Geometry((2, 2), dilation=(1, 2), padding=(1, 0)),
    Geometry((2, 1), stride=(3, 2), padding=(1, 1), dilation=(2, 1)),
]


@pytest.fixture(params=[0, 16], ids=["patch by patch", "element by element"], autouse=True, scope="module")
def order_of_patches(request):
    """Everything here is tested with patches lying in memory in both ways."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(convolution, "SHORT", request.param)
        yield request.param


def rng():
    return np.random.default_rng(3)


def loops(x, weight, bias, stride, padding, dilation, groups):
    """The definition, one number at a time."""
    (n, _, h, w), (outputs, channels, *kernel) = x.shape, weight.shape
    rows, columns = (
        len(range(0, size + 2 * padding[i] - dilation[i] * (kernel[i] - 1), stride[i])) for i, size in enumerate((h, w))
    )
    out = np.zeros((n, outputs, rows, columns))
    for image, o, row, column in np.ndindex(out.shape):
        first = o // (outputs // groups) * channels
        for c, i, j in np.ndindex(weight.shape[1:]):
            y = row * stride[0] + i * dilation[0] - padding[0]
            z = column * stride[1] + j * dilation[1] - padding[1]
            if 0 <= y < h and 0 <= z < w:
                out[image, o, row, column] += x[image, first + c, y, z] * weight[o, c, i, j]
        out[image, o, row, column] += 0 if bias is None else bias[o]
    return out


def images(shape, geometry):
    """Random images, weights and biases for a geometry."""
    n, inputs, outputs, h, w = shape
    return rng().standard_normal((n, inputs, h, w)), rng().standard_normal((outputs, inputs, *geometry.kernel))


# ---------------------------------------------------------------- values


@st.composite
def convolutions(draw):
    """The arguments of a small convolution."""
    kernel, stride, dilation = draw(pairs), draw(pairs), draw(pairs)
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    reach = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding, strict=True)]
    size = [least + draw(st.integers(0, 3)) for least in reach]
    groups, n = draw(st.sampled_from([1, 1, 2, 3])), draw(st.integers(0, 2))
    channels, outputs = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    random = np.random.default_rng(draw(seeds))
    x = random.standard_normal((n, groups * channels, *size))
    weight, bias = random.standard_normal((outputs, channels, *kernel)), random.standard_normal(outputs)
    return x, weight, draw(st.sampled_from([bias, None])), stride, padding, dilation, groups


@given(arguments=convolutions())
def test_a_convolution_is_its_definition(arguments):
    expected = loops(*arguments)
    out = F.conv2d(*arguments)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(arguments=convolutions())
def test_a_convolution_has_the_gradients_of_its_definition(arguments):
    x, weight, bias, *settings = arguments
    tensors = [mg.tensor(p, requires_grad=True) for p in (x, weight, bias) if p is not None]
    out = F.conv2d(*tensors[:2], None if bias is None else tensors[2], *settings)
    cotangent = rng().standard_normal(out.shape)
    out.backward(cotangent)
    # The sum of cotangent * definition is linear in each input, so its slope along a direction is its value there.
    for position, tensor in enumerate(tensors):
        direction = rng().standard_normal(tensor.shape)
        inputs = [x, weight, None]
        if position == 2:
            inputs = [np.zeros_like(x), weight, direction]
        else:
            inputs[position] = direction
        slope = np.vdot(cotangent, loops(*inputs, *settings))
        assert np.vdot(tensor.grad.numpy(), direction) == pytest.approx(slope, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("kernel", [(3, 3), (1, 5), (3, 1)])
@pytest.mark.parametrize("dilation", [1, (2, 3)])
def test_same_padding_keeps_the_size_of_images_and_valid_padding_is_none(kernel, dilation):
    x, weight = images((2, 3, 4, 9, 13), Geometry(kernel))
    d = (dilation, dilation) if isinstance(dilation, int) else dilation
    around = tuple(n * (k - 1) // 2 for n, k in zip(d, kernel, strict=True))
    out = F.conv2d(x, weight, padding="same", dilation=dilation)
    assert out.shape == (2, 4, 9, 13)
    np.testing.assert_array_equal(out.numpy(), F.conv2d(x, weight, padding=around, dilation=dilation).numpy())
    valid = F.conv2d(x, weight, padding="valid", dilation=dilation).numpy()
    np.testing.assert_array_equal(valid, F.conv2d(x, weight, dilation=dilation).numpy())


@pytest.mark.parametrize("kernel", [(2, 2), (3, 2), (2, 4)])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 3)])
def test_same_padding_of_even_kernels_has_one_zero_more_at_the_end(kernel, dilation):
    x, weight = images((2, 3, 4, 7, 6), Geometry(kernel))
    total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    padded = np.pad(x, [(0, 0), (0, 0), *((n // 2, n - n // 2) for n in total)])
    expected = F.conv2d(padded, weight, dilation=dilation).numpy()
    out = F.conv2d(x, weight, padding="same", dilation=dilation)
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-13)
    gradcheck(lambda *inputs: F.conv2d(*inputs, padding="same", dilation=dilation), x, weight)


def test_one_number_is_a_setting_for_both_axes_and_lists_will_do():
    x, weight = images((2, 3, 4, 9, 8), Geometry((2, 3)))
    expected = F.conv2d(x, weight, None, (2, 2), (1, 1), (3, 3)).numpy()
    np.testing.assert_array_equal(F.conv2d(x, weight, None, 2, 1, 3).numpy(), expected)
    np.testing.assert_array_equal(F.conv2d(x, weight, None, [2, 2], [1, 1], [np.int64(3), 3]).numpy(), expected)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_images_worked_on_in_several_blocks_give_the_same(geometry, monkeypatch):
    x, weight = images((7, 3, 2, 6, 5), geometry)
    bias, settings = rng().standard_normal(2), geometry[1:]
    places, inputs = geometry.output((6, 5)), [x, weight, bias]

    def results():
        tensors = [mg.tensor(p, requires_grad=True) for p in inputs]
        out = F.conv2d(*tensors, *settings)
        out.backward(np.random.default_rng(1).standard_normal(out.shape))
        return [out.numpy(), *(tensor.grad.numpy() for tensor in tensors)]

    whole = results()
    image = 8 * weight[0].size * places[0] * places[1]
    for block in (1, 2 * image, 3 * image):  # of one, two and three images; 7 is divisible by none but the first
        monkeypatch.setattr(convolution, "BLOCK", block)
        for part, expected in zip(results(), whole, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-13)


def test_as_many_images_as_fit_are_one_block(monkeypatch):
    x, geometry = np.ones((7, 6, 5, 8)), Geometry((3, 2))
    monkeypatch.setattr(convolution, "BLOCK", 3 * 8 * (4 * 4) * (3 * 2 * 8))
    found = [(images, patches.shape) for images, patches in convolution.patch_matrices(x, geometry)]
    assert found == [(slice(0, 3), (48, 48)), (slice(3, 6), (48, 48)), (slice(6, 7), (16, 48))]


def test_as_many_rows_as_fit_are_one_block_if_there_are_few_channels(monkeypatch):
    x, geometry = np.ones((7, 6, 5, 2)), Geometry((3, 2))
    monkeypatch.setattr(convolution, "SHORT", 5)
    monkeypatch.setattr(convolution, "BLOCK", 3 * 8 * (4 * 7) * (3 * 2 * 2))
    found = [(rows, patches.shape) for rows, patches in convolution.patch_matrices(x, geometry, with_ones=True)]
    assert found == [(slice(0, 3), (84, 13)), (slice(3, 4), (28, 13))]


# ---------------------------------------------------------------- derivatives


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("n", [1, 2])
def test_a_convolution_has_right_first_and_second_derivatives(geometry, n):
    x, weight = images((n, 2, 3, 5, 4), geometry)
    gradcheck_twice(lambda *inputs: F.conv2d(*inputs, *geometry[1:]), x, weight, rng().standard_normal(3))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_the_gradients_of_a_convolution_have_right_derivatives_up_to_the_second(geometry):
    size = (5, 4)
    x, weight = images((2, 2, 3, *size), geometry)
    grad = rng().standard_normal((2, 3, *geometry.output(size)))
    gradcheck(lambda grad, weight: convolution.input_gradient(grad, weight, size, geometry), grad, weight, order=2)
    gradcheck(lambda x, grad: convolution.weight_gradient(x, grad, geometry), x, grad, order=2)
    gradcheck(lambda *inputs: convolution.convolution(*inputs, geometry), x, weight, np.ones(3), order=2)


def test_a_convolution_in_groups_has_right_first_and_second_derivatives():
    x, weight, bias = rng().standard_normal((2, 4, 3, 4)), rng().standard_normal((6, 2, 2, 2)), np.arange(6.0)
    gradcheck_twice(lambda *inputs: F.conv2d(*inputs, padding=1, stride=(1, 2), groups=2), x, weight, bias)


def test_a_convolution_of_images_with_themselves_has_right_derivatives():
    gradcheck(lambda x: F.conv2d(x, x[:, :, :2, :2], padding=1), rng().standard_normal((2, 2, 3, 3)), order=2)


@pytest.mark.parametrize("needed", ["x", "weight", "bias"])
def test_what_needs_no_gradient_gets_none(needed):
    names, (x, weight) = ["x", "weight", "bias"], images((2, 2, 3, 4, 4), Geometry((2, 2)))
    tensors = [
        mg.tensor(p, requires_grad=name == needed) for name, p in zip(names, (x, weight, np.ones(3)), strict=True)
    ]
    F.conv2d(*tensors).sum().backward()
    assert [name for name, tensor in zip(names, tensors, strict=True) if tensor.grad is not None] == [needed]


# ---------------------------------------------------------------- memory and dtypes

VIEWS = {
    **LAYOUTS,
    "repeated": repeated,
    "channels last": lambda x: np.ascontiguousarray(np.moveaxis(x, 1, -1)).transpose(0, 3, 1, 2)
    if x.ndim == 4
    else x.copy(),
}


@pytest.mark.parametrize("geometry", GEOMETRIES[:5])
@pytest.mark.parametrize("layout", VIEWS)
def test_memory_layouts_change_nothing_and_no_input_is_written_into(layout, geometry):
    x, weight = images((3, 2, 4, 6, 5), geometry)
    bias = rng().standard_normal(4)
    cotangent = rng().standard_normal((3, 4, *geometry.output((6, 5))))
    views = [VIEWS[layout](array) for array in (x, weight, bias, cotangent)]
    before = [view.copy() for view in views]
    found = []
    for x, weight, bias, cotangent in (views, before):  # in this layout, and the same numbers in C order
        tensors = [mg.Tensor(p, requires_grad=True) for p in (x, weight, bias)]
        out = F.conv2d(*tensors, *geometry[1:])
        out.backward(cotangent)
        found.append([out.numpy(), *(tensor.grad.numpy() for tensor in tensors)])
    for part, expected in zip(*found, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-13)
    for view, values in zip(views, before, strict=True):
        np.testing.assert_array_equal(view, values)


def test_results_have_their_channels_last_in_memory(order_of_patches):
    x, weight = (mg.tensor(p, requires_grad=True) for p in images((3, 2, 4, 6, 5), Geometry((3, 3))))
    out = F.conv2d(x, weight, padding=1)
    out.backward(rng().standard_normal(out.shape))
    axes = (2, 3, 0, 1) if order_of_patches else (0, 2, 3, 1)
    assert out.data.transpose(axes).flags.c_contiguous


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (0, 2, 3, 1), (2, 3, 0, 1)])
def test_the_gradient_of_images_lies_in_memory_as_they_do(axes):
    x, weight = images((3, 2, 4, 6, 5), Geometry((3, 3)))
    x = mg.Tensor(np.ascontiguousarray(x.transpose(axes)).transpose(np.argsort(axes)), requires_grad=True)
    F.conv2d(x, weight, padding=1).backward(rng().standard_normal((3, 4, 6, 5)))
    assert x.grad.data.transpose(axes).flags.c_contiguous


def test_images_without_channels_have_gradients_of_zero():
    for stride in (1, 2):
        x, weight = mg.tensor(np.ones((2, 0, 5, 4)), requires_grad=True), np.ones((3, 0, 2, 2))
        out = F.conv2d(x, weight, stride=stride, padding=1)
        out.backward(np.ones(out.shape))
        assert x.grad.shape == x.shape


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("geometry", GEOMETRIES[:5])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_keeps_the_dtype(dtype, geometry, bias):
    x, weight = (mg.tensor(p, requires_grad=True, dtype=dtype) for p in images((2, 2, 3, 5, 4), geometry))
    bias = mg.tensor(np.ones(3), requires_grad=True, dtype=dtype) if bias else None
    out = F.conv2d(x, weight, bias, *geometry[1:])
    out.backward(np.ones(out.shape, dtype))
    assert {out.dtype, *(p.grad.dtype for p in (x, weight, bias) if p is not None)} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtypes", [("f4", "f8", "f4"), ("f8", "f4", "f4"), ("f4", "f4", "f8")])
def test_a_convolution_promotes_as_numpy_does_and_its_gradients_fit_the_inputs(dtypes):
    arrays = [*images((2, 2, 3, 5, 4), Geometry((2, 2))), np.ones(3)]
    tensors = [mg.tensor(p, requires_grad=True, dtype=dtype) for p, dtype in zip(arrays, dtypes, strict=True)]
    out = F.conv2d(*tensors)
    assert out.dtype == np.float64
    out.backward(np.ones(out.shape))
    assert [p.grad.dtype for p in tensors] == list(map(np.dtype, dtypes))


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_an_empty_batch_has_empty_results_and_gradients_of_zero(geometry):
    x, weight = images((0, 2, 3, 5, 4), geometry)
    tensors = [mg.tensor(p, requires_grad=True) for p in (x, weight, np.ones(3))]
    out = F.conv2d(*tensors, *geometry[1:])
    assert out.shape == (0, 3, *geometry.output((5, 4)))
    out.backward(np.zeros(out.shape))
    assert tensors[0].grad.shape == x.shape
    np.testing.assert_array_equal(tensors[1].grad.numpy(), np.zeros(weight.shape))
    np.testing.assert_array_equal(tensors[2].grad.numpy(), np.zeros(3))


def test_nan_stays_where_the_kernel_reaches_it():
    x = np.zeros((2, 1, 5, 5))
    x[0, 0, 2, 2] = np.nan
    out = F.conv2d(x, np.ones((1, 1, 2, 2))).numpy()
    assert np.argwhere(np.isnan(out)).tolist() == [[0, 0, 1, 1], [0, 0, 1, 2], [0, 0, 2, 1], [0, 0, 2, 2]]


# ---------------------------------------------------------------- errors

X, W = np.ones((2, 4, 5, 5)), np.ones((6, 4, 3, 3))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            {"x": np.ones((4, 5, 5))},
            "conv2d expects images (n, c, h, w) and a weight (out_channels, c / groups, height, width), "
            "got (4, 5, 5) and (6, 4, 3, 3) with groups=1",
        ),
        ({"weight": np.ones((6, 4, 3))}, "got (2, 4, 5, 5) and (6, 4, 3) with groups=1"),
        ({"weight": np.ones((6, 3, 3, 3))}, "got (2, 4, 5, 5) and (6, 3, 3, 3) with groups=1"),
        ({"groups": 2}, "got (2, 4, 5, 5) and (6, 4, 3, 3) with groups=2"),
        ({"weight": np.ones((6, 1, 3, 3)), "groups": 4}, "got (2, 4, 5, 5) and (6, 1, 3, 3) with groups=4"),
        ({"groups": 0}, "with groups=0"),
        ({"bias": np.ones(5)}, "conv2d expects a bias for each of 6 channels, got shape (5,)"),
        ({"bias": 1.0}, "conv2d expects a bias for each of 6 channels, got shape ()"),
        ({"stride": 0}, "conv2d expects stride to be one or two integers of at least 1, got 0"),
        ({"stride": 1.5}, "conv2d expects stride to be one or two integers of at least 1, got 1.5"),
        ({"stride": (1, 2, 3)}, "conv2d expects stride to be one or two integers of at least 1, got (1, 2, 3)"),
        ({"padding": -1}, "conv2d expects padding to be one or two integers of at least 0, got -1"),
        ({"padding": "full"}, "conv2d expects padding to be one or two integers of at least 0, got 'full'"),
        ({"dilation": (1, 0)}, "conv2d expects dilation to be one or two integers of at least 1, got (1, 0)"),
        ({"stride": 2, "padding": "same"}, "conv2d with padding='same' expects stride 1, got (2, 2)"),
        (
            {"weight": np.ones((6, 4, 8, 3)), "padding": (1, 0)},
            "conv2d with kernels of (8, 3) expects larger images than (5, 5) with padding (1, 0)",
        ),
        ({"dilation": 3}, "conv2d with kernels of (3, 3) expects larger images than (5, 5) with padding (0, 0)"),
        ({"weight": np.ones((6, 4, 0, 3))}, "conv2d expects kernel_size to be one or two integers of at least 1"),
    ],
)
def test_what_does_not_fit_a_convolution_is_said(arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        F.conv2d(**{"x": X, "weight": W, **arguments})


# ---------------------------------------------------------------- the layer


def test_the_layer_hands_all_its_settings_on():
    layer = nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 3), groups=2, dtype=np.float64, generator=rng())
    x = rng().standard_normal((2, 4, 7, 6))
    expected = loops(x, layer.weight.data, layer.bias.data, (2, 1), (1, 0), (1, 3), 2)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12, atol=1e-12)
    for padding, size in (("same", (7, 6)), ("valid", (5, 4))):
        assert nn.Conv2d(4, 6, 3, padding=padding)(x).shape == (2, 6, *size)


@pytest.mark.parametrize("padding", [1, (2, 0), (0, 3), "same", "valid"])
@pytest.mark.parametrize(("mode", "numpys"), [("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")])
def test_the_layer_pads_with_copies_of_the_image_as_its_mode_says(mode, numpys, padding):
    layer = nn.Conv2d(2, 3, (3, 2), padding=padding, padding_mode=mode, dilation=(1, 3), dtype=np.float64)
    x = rng().standard_normal((2, 2, 5, 4))
    around = {"same": ((1, 1), (1, 2)), "valid": ((0, 0), (0, 0)), 1: ((1, 1), (1, 1))}.get(padding)
    around = around or tuple((n, n) for n in padding)
    padded = np.pad(x, [(0, 0), (0, 0), *around], numpys)
    expected = loops(padded, layer.weight.data, layer.bias.data, (1, 1), (0, 0), (1, 3), 1)
    np.testing.assert_allclose(layer(x).numpy(), expected, rtol=1e-12, atol=1e-12)
    gradcheck(layer, x, model=layer)
    assert f"padding_mode={mode}" in repr(layer)


def test_the_layer_refuses_a_mode_or_a_word_that_it_does_not_know_when_made():
    with pytest.raises(ValueError, match="'zeros' or 'reflect' or 'replicate' or 'circular', got 'edge'"):
        nn.Conv2d(1, 1, 3, padding_mode="edge")
    with pytest.raises(ValueError, match="Conv2d expects padding to be one or two integers of at least 0, got 'full'"):
        nn.Conv2d(1, 1, 3, padding="full")
    with pytest.raises(ValueError, match="Conv2d with padding='same' expects stride 1, got"):
        nn.Conv2d(1, 1, 3, stride=2, padding="same")
    with pytest.raises(ValueError, match=r"conv2d expects images \(n, c, h, w\)"):
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")(np.ones((1, 5, 5)))


def test_the_layer_has_the_parameters_its_arguments_ask_for():
    for layer, expected in (
        (nn.Conv2d(4, 6, 3), {"weight": (6, 4, 3, 3), "bias": (6,)}),
        (nn.Conv2d(4, 6, (3, 2), groups=2, bias=False), {"weight": (6, 2, 3, 2)}),
    ):
        assert {name: p.shape for name, p in layer.named_parameters()} == expected
        assert all(p.dtype == np.float32 for p in layer.parameters())
    assert {p.dtype for p in nn.Conv2d(1, 1, 1, dtype=np.float64).parameters()} == {np.dtype(np.float64)}


def test_the_layer_starts_uniform_within_one_over_the_root_of_its_fan_in():
    layer = nn.Conv2d(8, 100, (3, 5), groups=2, dtype=np.float64, generator=rng())
    bound = 1 / np.sqrt(4 * 3 * 5)
    for p in layer.parameters():
        values = p.data.ravel()
        assert abs(values).max() <= bound
        # The mean and the mean square of n such draws have the variances bound² / 3n and 4 bound⁴ / 45n.
        assert abs(values.mean()) < 5 * bound / np.sqrt(3 * values.size)
        assert abs((values**2).mean() - bound**2 / 3) < 5 * bound**2 * np.sqrt(4 / 45 / values.size)


def test_the_same_generator_gives_the_same_layer():
    first, second, third = (nn.Conv2d(2, 3, 3, generator=np.random.default_rng(seed)) for seed in (1, 1, 2))
    for a, b, c in zip(first.parameters(), second.parameters(), third.parameters(), strict=True):
        np.testing.assert_array_equal(a.data, b.data)
        assert (a.data != c.data).any()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"groups": 3}, "Conv2d cannot divide 4 and 6 channels into 3 groups"),
        ({"groups": 4}, "Conv2d cannot divide 4 and 6 channels into 4 groups"),
        ({"groups": 0}, "Conv2d cannot divide 4 and 6 channels into 0 groups"),
        ({"kernel_size": 0}, "Conv2d expects kernel_size to be one or two integers of at least 1, got 0"),
        ({"stride": -1}, "Conv2d expects stride to be one or two integers of at least 1, got -1"),
        ({"padding": (1, -1)}, "Conv2d expects padding to be one or two integers of at least 0, got (1, -1)"),
        ({"dilation": 0.5}, "Conv2d expects dilation to be one or two integers of at least 1, got 0.5"),
    ],
)
def test_the_layer_refuses_settings_out_of_range_when_made(arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        nn.Conv2d(**{"in_channels": 4, "out_channels": 6, "kernel_size": 3, **arguments})


def test_the_layer_shows_the_settings_that_are_not_the_usual_ones():
    assert repr(nn.Conv2d(4, 6, 3)) == "Conv2d(4, 6, kernel_size=(3, 3))  # 222 parameters"
    layer = nn.Conv2d(4, 6, (3, 2), 2, "valid", 3, groups=2, bias=False)
    settings = "kernel_size=(3, 2), stride=(2, 2), padding=valid, dilation=(3, 3), groups=2, bias=False"
    assert repr(layer) == f"Conv2d(4, 6, {settings})  # 72 parameters"


@pytest.mark.parametrize("channels", [1, 8, 100])  # products larger and smaller than the images they are made of
@pytest.mark.parametrize("side", [3, 4, 9])
def test_the_gradient_of_a_weight_takes_no_more_memory_than_the_images(channels, side):
    x = np.ones((5000, 1, side, side), np.float32)
    weight = mg.tensor(np.ones((channels, 1, 3, 3), np.float32), requires_grad=True)
    out = F.conv2d(x, weight)
    gradient = np.ones(out.shape, np.float32)
    tracemalloc.start()
    out.backward(gradient)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6 + 4 * (9 * out.size / channels * 4 + out.size * 4)
    np.testing.assert_allclose(weight.grad.data, out.size / channels)
