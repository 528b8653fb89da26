import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minigrad as mg
import nn
from minigrad.testing import gradcheck
from minigrad.testing.layouts import LAYOUTS, repeated
from nn import functional as F
from nn.functional import pooling
from nn.functional.convolution import Geometry
from nn.functional.layout import memory_axes
from tests.nn.test_functional import gradcheck_twice

seeds = st.integers(0, 2**32 - 1)
POOLS = {"max_pool2d": (F.max_pool2d, max, -np.inf), "avg_pool2d": (F.avg_pool2d, np.mean, 0.0)}
GEOMETRIES = [  # kernel, stride, padding: windows that touch, overlap, leave gaps, and reach over the edges
    ((2, 2), (2, 2), (0, 0)),
    ((2, 3), (1, 2), (0, 0)),
    ((2, 1), (3, 2), (0, 0)),
    ((3, 2), (2, 1), (1, 1)),
    ((2, 3), (2, 3), (1, 1)),
    ((1, 1), (1, 1), (0, 0)),
]


def rng():
    return np.random.default_rng(4)


def distinct(shape):
    """Random numbers that are far enough apart for numerical derivatives of their maximum."""
    return rng().permutation(np.arange(1.0, np.prod(shape) + 1)).reshape(shape)


def loops(x, kernel, stride, padding, summed_up, fill):
    """The definition, one window at a time."""
    n, channels, *size = x.shape
    starts = [range(-p, s + p - k + 1, step) for s, k, step, p in zip(size, kernel, stride, padding, strict=True)]
    out = np.empty((n, channels, *map(len, starts)))
    for image, channel, row, column in np.ndindex(out.shape):
        window = [
            x[image, channel, y, z] if 0 <= y < size[0] and 0 <= z < size[1] else fill
            for y in range(starts[0][row], starts[0][row] + kernel[0])
            for z in range(starts[1][column], starts[1][column] + kernel[1])
        ]
        out[image, channel, row, column] = summed_up(window)
    return out


@st.composite
def windows(draw):
    """Small images with ties, and a kernel, a stride and a padding for them."""
    kernel, stride = (draw(st.tuples(st.integers(1, 3), st.integers(1, 3))) for _ in range(2))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = [max(1, k - 2 * p) + draw(st.integers(0, 4)) for k, p in zip(kernel, padding, strict=True)]
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 2)), *size)
    x = np.random.default_rng(draw(seeds)).integers(-3, 0, shape).astype(float)
    return x, kernel, stride, padding


# ---------------------------------------------------------------- max_pool2d and avg_pool2d


@pytest.mark.parametrize("name", POOLS)
@given(arguments=windows())
def test_pooling_is_its_definition(name, arguments):
    pool, summed_up, fill = POOLS[name]
    expected = loops(*arguments, summed_up, fill)
    out = pool(*arguments)
    assert out.shape == expected.shape
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-14)


@given(arguments=windows())
def test_each_window_shares_its_gradient_evenly_among_its_largest(arguments):
    x, kernel, stride, padding = arguments
    tensor = mg.tensor(x, requires_grad=True)
    out = F.max_pool2d(tensor, kernel, stride, padding)
    cotangent = rng().standard_normal(out.shape)
    out.backward(cotangent)
    expected, size = np.zeros(x.shape), x.shape[2:]
    for image, channel, row, column in np.ndindex(out.shape):
        corner = [i * step - p for i, step, p in zip((row, column), stride, padding, strict=True)]
        inside = tuple(slice(max(c, 0), min(c + k, n)) for c, k, n in zip(corner, kernel, size, strict=True))
        window = x[image, channel][inside]
        won = window == window.max()
        expected[image, channel][inside] += cotangent[image, channel, row, column] * won / won.sum()
    np.testing.assert_allclose(tensor.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_pooling_has_right_first_and_second_derivatives(name, geometry):
    pool, x = POOLS[name][0], distinct((2, 2, 5, 6))
    gradcheck_twice(lambda x: pool(x, *geometry), x)
    gradcheck(lambda x: pool(x * x, *geometry), x, order=2)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_weighted_sums_of_windows_have_right_derivatives_up_to_the_second(geometry):
    geometry = Geometry(*geometry)
    size = (5, 6)
    shape = (2, *geometry.output(size), 3)  # a share for each window, as the largest elements have
    shares = [rng().standard_normal(shape) * (i + 1) for i in range(geometry.kernel[0] * geometry.kernel[1])]
    x, grad = rng().standard_normal((2, 3, *size)), rng().standard_normal((2, 3, *geometry.output(size)))
    gradcheck(lambda x: pooling.weighted_sum(x, shares, geometry), x, order=2)
    gradcheck(lambda grad: pooling.weighted_spread(grad, shares, size, geometry), grad, order=2)


@pytest.mark.parametrize("name", POOLS)
def test_the_stride_is_the_kernel_unless_given_and_one_number_is_for_both_axes(name):
    pool, x = POOLS[name][0], distinct((1, 2, 6, 7))
    np.testing.assert_array_equal(pool(x, (2, 3)).numpy(), pool(x, (2, 3), (2, 3), (0, 0)).numpy())
    np.testing.assert_array_equal(pool(x, 3, 2, 1).numpy(), pool(x, (3, 3), (2, 2), (1, 1)).numpy())


def test_padding_never_is_the_largest_nor_shares_the_gradient():
    x = mg.tensor([[[[-5.0, -np.inf], [-np.inf, -np.inf]]]], requires_grad=True)
    out = F.max_pool2d(x, 2, 1, 1)
    np.testing.assert_array_equal(out.numpy()[0, 0], [[-5, -5, -np.inf], [-5, -5, -np.inf], [-np.inf] * 3])
    out.backward(np.ones(out.shape))
    # The three corners and the two half windows of -inf go to the elements of the image that they reach.
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [[4, 1.5], [1.5, 2]])


def test_the_padding_counts_as_zeros_in_a_mean():
    np.testing.assert_array_equal(F.avg_pool2d(np.ones((1, 1, 2, 2)), 2, 2, 1).numpy(), np.full((1, 1, 2, 2), 0.25))


@pytest.mark.parametrize("kernel", [(1, 1), (15, 17), (16, 16), (17, 20)])
def test_any_number_of_equal_elements_shares_the_gradient(kernel):
    x = mg.tensor(np.zeros((1, 1, *kernel)), requires_grad=True)
    F.max_pool2d(x, kernel).backward(np.full((1, 1, 1, 1), 3.0))
    np.testing.assert_allclose(x.grad.numpy(), np.full(x.shape, 3 / x.size), rtol=1e-14)


@pytest.mark.parametrize("kernel", [1, 2])
def test_a_window_with_nan_is_nan_without_a_gradient(kernel):
    x = mg.tensor(np.arange(16.0).reshape(1, 1, 4, 4), requires_grad=True)
    x.data[0, 0, 0, 0] = np.nan
    out = F.max_pool2d(x, kernel)
    assert np.argwhere(np.isnan(out.numpy())).tolist() == [[0, 0, 0, 0]]
    out.backward(np.ones(out.shape))
    assert np.isfinite(x.grad.numpy()).all()
    assert (x.grad.numpy()[:, :, :kernel, :kernel] == 0).all()
    assert x.grad.numpy().sum() == out.size - 1


VIEWS = {
    **LAYOUTS,
    "repeated": repeated,
    "channels last": lambda x: np.ascontiguousarray(np.moveaxis(x, 1, -1)).transpose(0, 3, 1, 2),
    "samples and channels last": lambda x: np.ascontiguousarray(x.transpose(2, 3, 0, 1)).transpose(2, 3, 0, 1),
}
FUNCTIONS = {
    **{f"{name} {g}": lambda x, pool=pool, g=g: pool(x, *g) for name, (pool, *_) in POOLS.items() for g in GEOMETRIES},
    "adaptive (5, 2)": lambda x: F.adaptive_avg_pool2d(x, (5, 2)),
    "adaptive (3, 4)": lambda x: F.adaptive_avg_pool2d(x, (3, 4)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("layout", VIEWS)
def test_memory_layouts_change_nothing_and_no_input_is_written_into(layout, name):
    view = VIEWS[layout](distinct((2, 3, 5, 6)))
    before = view.copy()
    found = []
    for array in (view, before):  # in this layout, and the same numbers in C order
        x = mg.Tensor(array, requires_grad=True)
        out = FUNCTIONS[name](x)
        cotangent = rng().standard_normal(out.shape)
        out.backward(VIEWS[layout](cotangent) if layout != "repeated" else cotangent)
        found.append((out.numpy(), x.grad.numpy()))
    for part, expected in zip(*found, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(view, before)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("layout", ["C", "channels last", "samples and channels last"])
@pytest.mark.parametrize("block", [1, 100])
def test_images_worked_on_in_several_blocks_give_the_same(name, layout, block, monkeypatch):
    cotangent = rng().standard_normal(FUNCTIONS[name](np.ones((3, 2, 7, 9))).shape)

    def results():
        x = mg.Tensor(VIEWS[layout](distinct((3, 2, 7, 9))), requires_grad=True)
        out = FUNCTIONS[name](x)
        out.backward(cotangent)
        return out.numpy(), x.grad.numpy()

    whole = results()
    monkeypatch.setattr(pooling, "BLOCK", block)
    for part, expected in zip(results(), whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("layout", ["C", "channels last", "samples and channels last"])
@pytest.mark.parametrize("padding", [0, 1])
def test_the_gradient_of_max_pooling_lies_in_memory_like_its_input_whatever_comes_back(layout, padding):
    x = mg.Tensor(VIEWS[layout](distinct((2, 3, 4, 6))), requires_grad=True)
    out = F.max_pool2d(x, 2, padding=padding)
    out.backward(np.ones(out.shape))
    assert memory_axes(x.grad.data) == memory_axes(x.data)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_pooling_keeps_the_dtype(dtype, name):
    x = mg.tensor(distinct((2, 3, 5, 6)), requires_grad=True, dtype=dtype)
    out = FUNCTIONS[name](x)
    out.backward(np.ones(out.shape, dtype))
    assert out.dtype == x.grad.dtype == dtype


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_empty_batch_has_empty_results_and_gradients(name):
    x = mg.tensor(np.ones((0, 3, 5, 6)), requires_grad=True)
    out = FUNCTIONS[name](x)
    assert out.shape == (0, *FUNCTIONS[name](np.ones((1, 3, 5, 6))).shape[1:])
    out.backward(np.ones(out.shape))
    assert x.grad.shape == x.shape


# ---------------------------------------------------------------- adaptive_avg_pool2d


@given(height=st.integers(1, 7), width=st.integers(1, 7), rows=st.integers(1, 8), columns=st.integers(1, 8))
def test_adaptive_windows_start_and_end_at_rounded_parts_and_are_averaged(height, width, rows, columns):
    x = rng().standard_normal((2, 3, height, width))
    expected = np.empty((2, 3, rows, columns))
    for i, j in np.ndindex(rows, columns):
        y = slice(int(np.floor(i * height / rows)), int(np.ceil((i + 1) * height / rows)))
        z = slice(int(np.floor(j * width / columns)), int(np.ceil((j + 1) * width / columns)))
        expected[:, :, i, j] = x[:, :, y, z].mean((2, 3))
    out = F.adaptive_avg_pool2d(x, (rows, columns))
    np.testing.assert_allclose(out.numpy(), expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("size", [1, 2, (4, 3), (3, 5), (5, 1), (6, 7)])
def test_adaptive_pooling_has_right_first_and_second_derivatives(size):
    gradcheck_twice(lambda x: F.adaptive_avg_pool2d(x, size), rng().standard_normal((2, 2, 4, 6)))
    gradcheck(lambda x: F.adaptive_avg_pool2d(x * x, size), rng().standard_normal((2, 2, 4, 6)), order=2)


@pytest.mark.parametrize("size", [(None, 3), (2, None), (None, None), (5, 4), (9, 1), (4, 11), 3])
@pytest.mark.parametrize(("pool", "summed_up"), [(F.adaptive_avg_pool2d, np.mean), (F.adaptive_max_pool2d, np.max)])
def test_adaptive_pooling_makes_as_many_windows_as_are_asked_for_whether_that_divides_or_not(pool, summed_up, size):
    x = distinct((2, 2, 4, 6))
    rows, columns = size if isinstance(size, tuple) else (size, size)
    rows, columns = rows or 4, columns or 6
    expected = np.empty((2, 2, rows, columns))
    for i, j in np.ndindex(rows, columns):
        window = x[:, :, i * 4 // rows : -(-(i + 1) * 4 // rows), j * 6 // columns : -(-(j + 1) * 6 // columns)]
        expected[:, :, i, j] = summed_up(window, (2, 3))
    np.testing.assert_allclose(pool(x, size).numpy(), expected, rtol=1e-13)
    gradcheck(lambda x: pool(x, size), x, order=2)
    layer = nn.AdaptiveMaxPool2d if summed_up is np.max else nn.AdaptiveAvgPool2d
    np.testing.assert_array_equal(layer(size)(x).numpy(), pool(x, size).numpy())
    assert repr(layer(size)) == f"{layer.__name__}(output_size={size})"


def test_equal_elements_of_an_adaptive_window_share_the_gradient_evenly():
    x = mg.tensor(np.ones((1, 1, 3, 3)), requires_grad=True)
    F.adaptive_max_pool2d(x, 2).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy()[0, 0], [[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]])


# ---------------------------------------------------------------- dilation, ceil_mode, and what means divide by


def by_the_book(x, kernel, stride, padding, dilation, ceil_mode):
    """The windows one by one: (place in the result, the pixels inside, how many elements lie in the padded image)."""
    axes = []
    for n, k, s, p, d in zip(x.shape[2:], kernel, stride, padding, dilation, strict=True):
        starts = [-p]
        while starts[-1] + s + (k - 1) * d < n + p or (
            ceil_mode and starts[-1] + s < n and starts[-1] + (k - 1) * d < n + p - 1
        ):
            starts.append(starts[-1] + s)
        axes.append([[start + i * d for i in range(k)] for start in starts])
    for row, ys in enumerate(axes[0]):
        for column, zs in enumerate(axes[1]):
            pixels = [(y, z) for y in ys for z in zs if 0 <= y < x.shape[2] and 0 <= z < x.shape[3]]
            reach = sum(y < x.shape[2] + padding[0] for y in ys) * sum(z < x.shape[3] + padding[1] for z in zs)
            yield (row, column), pixels, reach


@st.composite
def more_windows(draw, dilated):
    """Images with ties, settings, and whether windows may reach over the end."""
    x, kernel, stride, padding = draw(windows())
    dilation = tuple(draw(st.integers(1, 3)) if dilated else 1 for _ in kernel)
    for k, d, p, n in zip(kernel, dilation, padding, x.shape[2:], strict=True):
        assume(d * (k - 1) + 1 <= n + 2 * p)
    return x, kernel, stride, padding, dilation, draw(st.booleans())


@given(arguments=more_windows(dilated=True))
def test_windows_of_maxima_may_be_dilated_and_reach_over_the_end(arguments):
    x, found = mg.tensor(arguments[0], requires_grad=True), list(by_the_book(*arguments))
    out = F.max_pool2d(x, *arguments[1:])
    cotangent = rng().standard_normal(out.shape)
    out.backward(cotangent)
    expected = np.zeros(x.shape)
    assert out.shape[2:] == (found[-1][0][0] + 1, found[-1][0][1] + 1)
    for place, pixels, _ in found:
        inside = (..., *np.array(pixels, int).reshape(-1, 2).T)
        best = arguments[0][inside].max(-1, initial=-np.inf, keepdims=True)
        np.testing.assert_array_equal(out.data[(..., *place)], best[..., 0])
        won = arguments[0][inside] == best
        expected[inside] += cotangent[(..., *place)][..., None] * won / np.maximum(won.sum(-1, keepdims=True), 1)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@given(arguments=more_windows(dilated=False), include=st.booleans(), divisor=st.sampled_from([None, 1, 7, -2]))
def test_means_divide_by_what_is_asked_for(arguments, include, divisor):
    x, found = mg.tensor(arguments[0], requires_grad=True), list(by_the_book(*arguments))
    *settings, _, ceil_mode = arguments[1:]
    out = F.avg_pool2d(x, *settings, ceil_mode, include, divisor)
    cotangent = rng().standard_normal(out.shape)
    out.backward(cotangent)
    expected = np.zeros(x.shape)
    assert out.shape[2:] == (found[-1][0][0] + 1, found[-1][0][1] + 1)
    for place, pixels, reach in found:
        inside, count = (..., *np.array(pixels).T), divisor or (reach if include else len(pixels))
        np.testing.assert_allclose(out.data[(..., *place)], arguments[0][inside].sum(-1) / count, rtol=1e-13)
        expected[inside] += cotangent[(..., *place)][..., None] / count
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pool", [
    lambda x: F.max_pool2d(x, 2, 2, 1, 2, True),
    lambda x: F.max_pool2d(x, (2, 3), (3, 2), 0, (1, 2), True),
    lambda x: F.avg_pool2d(x, 2, 3, 1, True, False),
    lambda x: F.avg_pool2d(x, (3, 2), 2, (1, 0), True, True),
    lambda x: F.avg_pool2d(x, 3, 2, 1, False, False),
    lambda x: F.avg_pool2d(x, 2, divisor_override=3),
])
def test_the_options_of_pooling_have_right_first_and_second_derivatives(pool):
    x = distinct((2, 2, 5, 6))
    gradcheck_twice(pool, x)
    gradcheck(lambda x: pool(x * x), x, order=2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("stride", [1, 2])
def test_an_infinite_gradient_goes_to_the_largest_alone(dtype, stride):
    x = mg.tensor(np.array([[[[1, 0], [0, 0]]]], dtype), requires_grad=True)
    F.max_pool2d(x, 2, stride).backward(np.full((1, 1, 1, 1), np.inf))
    np.testing.assert_array_equal(x.grad.numpy(), [[[[np.inf, 0], [0, 0]]]])


def test_a_window_of_minus_infinity_gives_the_pixels_all_of_its_gradient():
    x = mg.tensor(np.full((1, 1, 3, 3), -np.inf), requires_grad=True)
    F.max_pool2d(x, 2, ceil_mode=True).sum().backward()
    assert x.grad.numpy()[0, 0].tolist() == [[0.25, 0.25, 0.5], [0.25, 0.25, 0.5], [0.5, 0.5, 1]]


def test_means_of_large_numbers_do_not_overflow_on_the_way():
    x = np.full((1, 1, 3, 3), 3e38, np.float32)
    for settings in [(3, 1, 1, False, False), (2, 2, 0, True), (3, 2, 1, True, False), (3,)]:
        np.testing.assert_allclose(F.avg_pool2d(x, *settings).numpy(), 3e38, rtol=1e-6)
    np.testing.assert_allclose(F.adaptive_avg_pool2d(x, 2).numpy(), 3e38, rtol=1e-6)


@pytest.mark.parametrize("fault", [np.inf, np.nan])
@pytest.mark.parametrize("pool", [
    lambda x: F.avg_pool2d(x, 2, 1), lambda x: F.avg_pool2d(x, 2, 2, 1, True, False),
    lambda x: F.adaptive_avg_pool2d(x, (3, 2)), lambda x: F.adaptive_max_pool2d(x, 2),
    lambda x: F.max_pool2d(x, 2, 2, 1), lambda x: F.max_pool2d(x, 2, 1),
])
def test_what_is_not_finite_is_seen_in_the_windows_that_have_it_and_in_no_other(pool, fault):
    x = distinct((1, 1, 5, 5))
    before = pool(x).numpy()
    x[0, 0, 1, 3] = 1000
    has_it = pool(x).numpy() != before
    x[0, 0, 1, 3] = fault
    np.testing.assert_array_equal(pool(x).numpy(), np.where(has_it, fault, before))


@pytest.mark.parametrize("pool", [
    lambda x: F.avg_pool2d(x, 200), lambda x: F.adaptive_avg_pool2d(x, 1), lambda x: F.adaptive_avg_pool2d(x, (1, 3)),
])
def test_means_of_many_numbers_of_half_precision_are_as_exact_as_they_can_be(pool):
    x = mg.tensor(np.full((1, 1, 200, 200), 1.5, np.float16), requires_grad=True)
    out = pool(x)
    np.testing.assert_array_equal(out.numpy(), np.full(out.shape, 1.5, np.float16), strict=True)
    out.backward(np.full(out.shape, 6e4))
    np.testing.assert_allclose(x.grad.numpy().astype(float).sum(), 6e4 * out.size, rtol=1e-3)
    assert x.grad.dtype == np.float16


def test_gradients_of_many_windows_add_up_in_half_precision():
    x = mg.tensor(np.zeros((1, 1, 99, 99), np.float16), requires_grad=True)
    x.data[0, 0, 49, 49] = 1
    F.max_pool2d(x, 50, 1).sum().backward()
    assert x.grad.numpy().max() == x.grad.numpy()[0, 0, 49, 49] == 2500


# ---------------------------------------------------------------- errors and the layers

X = np.ones((2, 3, 4, 6))


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize(
    ("x", "settings", "sentence"),
    [
        (X[0], (2,), "expects floating images (n, c, h, w), got float64 of shape (3, 4, 6)"),
        (X.astype(np.int64), (2,), "expects floating images (n, c, h, w), got int64 of shape (2, 3, 4, 6)"),
        (X, (0,), "expects kernel_size to be one or two integers of at least 1, got 0"),
        (X, ((2, 2, 2),), "expects kernel_size to be one or two integers of at least 1, got (2, 2, 2)"),
        (X, (2, 0), "expects stride to be one or two integers of at least 1, got 0"),
        (X, (2, 2, -1), "expects padding to be one or two integers of at least 0, got -1"),
        (X, (2, 1, "same"), "expects padding to be one or two integers of at least 0, got 'same'"),
        (X, (5,), "with kernels of (5, 5) expects larger images than (4, 6) with padding (0, 0)"),
        (X, ((2, 3), 1, (1, 2)), "expects a padding of at most half the kernel (2, 3), got (1, 2)"),
        (X, (1, 1, 1), "expects a padding of at most half the kernel (1, 1), got 1"),
    ],
)
def test_what_does_not_fit_is_said(name, x, settings, sentence):
    with pytest.raises(ValueError, match=re.escape(f"{name} {sentence}")):
        POOLS[name][0](x, *settings)


@pytest.mark.parametrize(
    ("x", "size", "sentence"),
    [
        (X[0], 2, "expects floating images (n, c, h, w), got float64 of shape (3, 4, 6)"),
        (X.astype(np.int64), 3, "expects floating images (n, c, h, w), got int64 of shape (2, 3, 4, 6)"),
        (X[:, :, :0], 2, "expects images of at least one pixel, got shape (2, 3, 0, 6)"),
        (X, 0, "expects output_size to be one or two integers of at least 1, got 0"),
        (X, None, "expects output_size to be one or two integers of at least 1, got None"),
        (X, (2, 2.0), "expects output_size to be one or two integers of at least 1, got (2, 2.0)"),
        (X, (None, True), "expects output_size to be one or two integers of at least 1, got (4, True)"),
        (X, (None, None, 2), "expects output_size to be one or two integers of at least 1, got (None, None, 2)"),
    ],
)
def test_what_does_not_fit_adaptive_pooling_is_said(x, size, sentence):
    with pytest.raises(ValueError, match=re.escape(f"adaptive_avg_pool2d {sentence}")):
        F.adaptive_avg_pool2d(x, size)


@pytest.mark.parametrize(("layer", "name"), [(nn.MaxPool2d, "max_pool2d"), (nn.AvgPool2d, "avg_pool2d")])
def test_the_layers_hand_all_their_settings_on(layer, name):
    pool, x = POOLS[name][0], distinct((2, 3, 5, 6))
    for settings in [(2,), ((2, 3),), (3, 2), ((3, 2), (1, 2), (1, 0))]:
        np.testing.assert_array_equal(layer(*settings)(x).numpy(), pool(x, *settings).numpy())
    assert repr(layer(2)) == f"{layer.__name__}(kernel_size=2, stride=2, padding=0)"
    assert repr(layer((3, 2), 1, (1, 0))) == f"{layer.__name__}(kernel_size=(3, 2), stride=1, padding=(1, 0))"


@pytest.mark.parametrize(("layer", "pool", "options"), [
    (nn.MaxPool2d, F.max_pool2d, {"dilation": (1, 2), "ceil_mode": True}),
    (nn.AvgPool2d, F.avg_pool2d, {"ceil_mode": True, "count_include_pad": False}),
    (nn.AvgPool2d, F.avg_pool2d, {"divisor_override": 3}),
])
def test_the_layers_hand_their_options_on_and_show_them(layer, pool, options):
    x, settings = distinct((2, 3, 5, 6)), {"kernel_size": 2, "stride": 3, "padding": 1} | options
    module = layer(**settings)
    np.testing.assert_array_equal(module(x).numpy(), pool(x, **settings).numpy())
    assert repr(module) == f"{layer.__name__}({', '.join(f'{name}={x}' for name, x in settings.items())})"


def test_positions_of_arguments_are_those_of_pytorch():
    x = distinct((2, 3, 5, 6))
    for module, expected in [
        (nn.MaxPool2d(2, 2, 0, 1, False, True), F.max_pool2d(x, 2, 2, 0, 1, True)),
        (nn.AvgPool2d(2, 2, 1, True, False, 3), F.avg_pool2d(x, 2, 2, 1, True, False, 3)),
    ]:
        np.testing.assert_array_equal(module(x).numpy(), expected.numpy())


@pytest.mark.parametrize("pool", [lambda: F.max_pool2d(X, 2, return_indices=True),
                                  lambda: nn.MaxPool2d(2, return_indices=True)(X),
                                  lambda: F.adaptive_max_pool2d(X, 2, return_indices=True)])
def test_indices_are_refused(pool):
    with pytest.raises(ValueError, match="max_pool2d returns no indices: leave out return_indices"):
        pool()


@pytest.mark.parametrize("divisor", [0, 0.5, True])
def test_a_divisor_must_be_an_integer_other_than_zero(divisor):
    with pytest.raises(ValueError, match=r"avg_pool2d (cannot divide by|expects) .*divisor_override"):
        F.avg_pool2d(X, 2, divisor_override=divisor)


def test_the_adaptive_layer_hands_its_size_on():
    x = distinct((2, 3, 5, 6))
    np.testing.assert_array_equal(nn.AdaptiveAvgPool2d((2, 3))(x).numpy(), F.adaptive_avg_pool2d(x, (2, 3)).numpy())
    assert repr(nn.AdaptiveAvgPool2d((2, 3))) == "AdaptiveAvgPool2d(output_size=(2, 3))"
