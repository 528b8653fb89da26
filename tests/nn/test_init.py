"""Initialisers: distributions, bounds and the tensor they fill."""

import math

import numpy as np
import pytest

from minigrad import Tensor
from minigrad.random import manual_seed
from nn import init

RANDOM = [
    init.uniform_, init.normal_, init.kaiming_uniform_, init.kaiming_normal_, init.xavier_uniform_, init.xavier_normal_,
]


def filled(initialiser, *args, shape=(100, 200), dtype=np.float64, **settings):
    generator = np.random.default_rng(11)
    return initialiser(Tensor(np.zeros(shape), dtype=dtype), *args, generator=generator, **settings).data


def assert_uniform(draws, low, high):
    """Inside the interval, close to both ends, and with the moments of a uniform distribution to five sigma."""
    assert low <= draws.min() < low + 0.001 * (high - low)
    assert high - 0.001 * (high - low) < draws.max() <= high
    assert_moments(draws, (low + high) / 2, (high - low) / math.sqrt(12))


def assert_moments(draws, mean, std):
    assert abs(draws.mean() - mean) < 5 * std / math.sqrt(draws.size)
    assert abs(draws.std() / std - 1) < 5 / math.sqrt(2 * draws.size)


def test_uniform_draws_fill_their_interval():
    assert_uniform(filled(init.uniform_, -3.0, 5.0), -3.0, 5.0)
    assert_uniform(filled(init.uniform_), 0.0, 1.0)


def test_normal_draws_have_their_mean_and_deviation():
    draws = filled(init.normal_, 2.0, 0.1)
    assert_moments(draws, 2.0, 0.1)
    assert 0.25 < (abs(draws - 2.0) > 0.1).mean() < 0.39
    assert_moments(filled(init.normal_), 0.0, 1.0)


@pytest.mark.parametrize(("mode", "fan"), [("fan_in", 200), ("fan_out", 100)])
@pytest.mark.parametrize(
    ("slope", "nonlinearity", "gain"),
    [
        (0.0, "leaky_relu", math.sqrt(2)),
        (math.sqrt(5), "leaky_relu", math.sqrt(1 / 3)),
        (0.0, "relu", math.sqrt(2)),
        (0.0, "tanh", 5 / 3),
        (0.0, "linear", 1.0),
    ],
)
def test_kaiming_draws_have_deviation_gain_over_root_fan(mode, fan, slope, nonlinearity, gain):
    std = gain / math.sqrt(fan)
    bound = math.sqrt(3) * std
    assert_uniform(filled(init.kaiming_uniform_, slope, mode, nonlinearity), -bound, bound)
    assert_moments(filled(init.kaiming_normal_, slope, mode, nonlinearity), 0.0, std)


@pytest.mark.parametrize("gain", [1.0, 5 / 3])
def test_xavier_draws_have_a_deviation_between_both_fans(gain):
    std = gain * math.sqrt(2 / 300)
    assert_uniform(filled(init.xavier_uniform_, gain), -math.sqrt(3) * std, math.sqrt(3) * std)
    assert_moments(filled(init.xavier_normal_, gain), 0.0, std)


def test_the_fans_of_a_convolution_count_its_kernel():
    draws = filled(init.kaiming_uniform_, nonlinearity="linear", shape=(64, 32, 3, 5))
    assert_uniform(draws, -math.sqrt(3 / 480), math.sqrt(3 / 480))
    draws = filled(init.kaiming_uniform_, mode="fan_out", nonlinearity="linear", shape=(64, 32, 3, 5))
    assert_uniform(draws, -math.sqrt(3 / 960), math.sqrt(3 / 960))
    assert_moments(filled(init.xavier_normal_, shape=(64, 32, 3, 5)), 0.0, math.sqrt(2 / 1440))


@pytest.mark.parametrize(
    ("nonlinearity", "param", "gain"),
    [
        ("linear", None, 1.0),
        ("conv2d", None, 1.0),
        ("conv_transpose3d", None, 1.0),
        ("sigmoid", None, 1.0),
        ("tanh", None, 5 / 3),
        ("relu", None, math.sqrt(2)),
        ("leaky_relu", None, math.sqrt(2 / 1.0001)),
        ("leaky_relu", 2, math.sqrt(0.4)),
        ("selu", None, 0.75),
    ],
)
def test_gains_are_the_recommended_ones(nonlinearity, param, gain):
    assert init.calculate_gain(nonlinearity, param) == pytest.approx(gain, rel=1e-15)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_constants_fill_any_tensor_and_keep_its_dtype(shape, dtype):
    for initialiser, expected in [(init.ones_, 1), (init.zeros_, 0), (lambda t: init.constant_(t, 2.5), 2.5)]:
        tensor = Tensor(np.full(shape, 7), dtype=dtype, requires_grad=True)
        assert initialiser(tensor) is tensor
        assert tensor.dtype == dtype
        assert tensor.shape == shape
        assert (tensor.data == expected).all()


@pytest.mark.parametrize("initialiser", RANDOM)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_random_initialisers_fill_the_tensors_own_memory_and_return_it(initialiser, dtype):
    tensor = Tensor(np.full((4, 5), 7), dtype=dtype, requires_grad=True)
    memory = tensor.data
    assert initialiser(tensor) is tensor
    assert tensor.data is memory
    assert memory.dtype == dtype
    assert (abs(memory) < 6).all()


@pytest.mark.parametrize("initialiser", [init.uniform_, init.normal_])
@pytest.mark.parametrize("shape", [(), (0,), (0, 3)])
def test_random_draws_fill_0d_and_empty_tensors(initialiser, shape):
    tensor = Tensor(np.full(shape, 7.0))
    assert initialiser(tensor).shape == shape
    assert (tensor.data < 6).all()


@pytest.mark.parametrize("initialiser", RANDOM[2:])
def test_weights_without_inputs_or_outputs_are_left_empty(initialiser):
    assert initialiser(Tensor(np.zeros((3, 0)))).size == 0
    assert initialiser(Tensor(np.zeros((0, 3)))).size == 0


@pytest.mark.parametrize("initialiser", RANDOM)
def test_the_default_generator_repeats_itself_under_a_seed(initialiser):
    draws = []
    for _ in range(2):
        manual_seed(5)
        draws.append(initialiser(Tensor(np.zeros((3, 4)))).data)
    np.testing.assert_array_equal(*draws)
    assert (initialiser(Tensor(np.zeros((3, 4)))).data != draws[0]).all()


def test_float32_tensors_get_float32_draws():
    expected = np.random.default_rng(11).standard_normal((100, 200), np.float32)
    np.testing.assert_array_equal(filled(init.normal_, dtype=np.float32), expected)


@pytest.mark.parametrize("initialiser", RANDOM[2:])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_fans_need_two_axes(initialiser, shape):
    with pytest.raises(ValueError, match=r"need a weight of shape \(out, in, \.\.\.\), got shape"):
        initialiser(Tensor(np.zeros(shape)))


def test_unknown_names_and_impossible_values_are_refused():
    weight = Tensor(np.zeros((2, 2)))
    with pytest.raises(ValueError, match="expects mode to be 'fan_in' or 'fan_out', got 'fan'"):
        init.kaiming_uniform_(weight, mode="fan")
    with pytest.raises(ValueError, match="no gain is known for 'swish'"):
        init.kaiming_normal_(weight, nonlinearity="swish")
    for std in (-1, None, math.inf):
        with pytest.raises(ValueError, match=f"normal_ expects std to be a number from 0 to less than inf, got {std}"):
            init.normal_(weight, std=std)
    with pytest.raises(ValueError, match=r"normal_ expects mean to be .* above -inf to less than inf, got inf"):
        init.normal_(weight, math.inf)
    with pytest.raises(ValueError, match="calculate_gain expects param to be a number, got 'x'"):
        init.calculate_gain("leaky_relu", "x")
    with pytest.raises(TypeError, match="random draws fill floating tensors only, got dtype int64"):
        init.uniform_(Tensor(np.zeros(2, np.int64)))


def test_a_recorded_result_is_refused_before_it_is_changed():
    result = Tensor([1.0, 2.0], requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="recorded result"):
        init.zeros_(result)
    np.testing.assert_array_equal(result.data, [2.0, 4.0])


def test_filling_between_forward_and_backward_is_caught():
    w = Tensor([2.0], requires_grad=True)
    loss = (w * w).sum()
    init.ones_(w)
    with pytest.raises(RuntimeError, match="updated in place"):
        loss.backward()


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        (2.0, 1.0, "b to be a number from 2 to less than inf, got 1.0"),
        (0.0, np.inf, "b to be a number from 0 to less than inf, got inf"),
        (np.nan, 1.0, "a to be a number from above -inf to inf, got nan"),
        (-np.inf, 1.0, "a to be a number from above -inf to inf, got -inf"),
        (-1e308, 1e308, "b - a to be a number from -inf to less than inf, got inf"),
        ("a", 1.0, "a to be a number from above -inf to inf, got 'a'"),
    ],
)
def test_uniform_draws_need_an_interval(a, b, sentence):
    with pytest.raises(ValueError, match=f"^uniform_ expects {sentence}"):
        init.uniform_(Tensor([0.0]), a, b)


@pytest.mark.parametrize("initialiser", [init.xavier_uniform_, init.xavier_normal_])
def test_a_negative_gain_is_refused_by_its_name(initialiser):
    with pytest.raises(ValueError, match=f"^{initialiser.__name__} expects gain to be a number from 0 to inf, got -1"):
        initialiser(Tensor(np.ones((3, 3))), gain=-1)


@pytest.mark.parametrize("given", [np.ones((3, 3)), [[1.0]], None], ids=lambda given: type(given).__name__)
@pytest.mark.parametrize("initialiser", [
    init.normal_, init.uniform_, init.zeros_, init.ones_, init.kaiming_uniform_, init.kaiming_normal_,
    init.xavier_uniform_, init.xavier_normal_,
])
def test_what_is_no_tensor_is_not_filled(initialiser, given):
    with pytest.raises(TypeError, match=f"an initialiser fills a Tensor in place, got a {type(given).__name__}"):
        initialiser(given)


@pytest.mark.parametrize("kind", [np.int64, np.array, Tensor])
def test_a_seed_is_any_integer(kind):
    assert manual_seed(kind(3)).random() == np.random.default_rng(3).random()
