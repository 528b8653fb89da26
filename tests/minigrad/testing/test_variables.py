"""Which of the floating inputs of a function are variables, and which are data."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.testing import GradientError, gradcheck, gradient_property, gradient_report
from minigrad.testing.strategies import tensors

X, DATA = np.array([[1.0, -2.0, 0.5]]), np.array([0.25, 0.5, 2.0])


def scaled(x, data):
    """A function that has a gradient by its first argument alone."""
    return x * (data.numpy() if isinstance(data, mg.Tensor) else np.asarray(data)) ** 2


def test_what_is_data_is_handed_over_as_it_is_and_takes_no_part():
    seen = []

    def f(x, data):
        seen.append(data)
        return scaled(x, data)

    assert gradcheck(f, X, DATA, wrt=(0,), order=2).ok
    assert all(data is DATA for data in seen)
    assert not gradient_report(scaled, X, DATA).ok  # without it the data count as a variable that gets no gradient


@pytest.mark.parametrize("data", [0.5, np.float32(0.5), DATA.astype(np.float16), mg.tensor(DATA, requires_grad=True)])
def test_data_may_be_any_number_array_or_tensor(data):
    assert gradcheck(scaled, X, data, wrt=0).ok


def test_wrt_chooses_any_of_the_arguments_with_all_that_is_in_them():
    def f(weights, x, bias):
        return mg.tanh(x @ weights["w"] + weights["b"]) * mg.as_tensor(bias).detach()

    weights = {"w": np.ones((3, 2)), "b": np.zeros(2)}
    report = gradcheck(f, weights, X, 1.5, wrt=[1, np.int64(0)])
    assert report.ok
    with pytest.raises(GradientError, match=r"input 2"):
        gradcheck(f, weights, X, 1.5)


def test_a_wrong_gradient_of_a_variable_is_found_beside_data_and_reproduced_with_it():
    def wrong(x, data):
        x = mg.as_tensor(x)
        return mg.record(wrong, x.data * data, (x, lambda grad, out: grad * data * 2))

    with pytest.raises(GradientError) as caught:
        gradcheck(wrong, X, DATA, wrt=(0,))
    assert "2 times the right one" in str(caught.value)
    assert "input 1" not in str(caught.value)


def test_a_hand_written_gradient_has_parts_for_the_variables_alone():
    def f(x, data):
        return float((x * data).sum())

    assert gradcheck(f, DATA, DATA + 1, gradient=lambda x, data: data, wrt=(0,)).ok


def test_parameters_are_checked_alone_if_all_inputs_are_data():
    class Scale:
        def __init__(self):
            self.weight = mg.tensor(DATA, requires_grad=True)

        def named_parameters(self):
            return [("weight", self.weight)]

        def __call__(self, x):
            return scaled(self.weight, x)

    assert gradcheck(Scale(), DATA, wrt=()).ok
    with pytest.raises(GradientError, match="input 0"):
        gradcheck(Scale(), DATA)


@pytest.mark.parametrize("wrt", [(2,), (0, 5), (-1,), 3, (1,)])
def test_a_position_without_a_floating_input_is_refused(wrt):
    with pytest.raises(ValueError, match=r"there is no floating input .* among the 2"):
        gradient_report(lambda x, k: x, X, 3, wrt=wrt)
    with pytest.raises(ValueError, match="nothing to differentiate"):
        gradient_report(lambda x, k: x, X, 3, wrt=())


def test_property_tests_know_data_too():
    @gradient_property(tensors(), st.floats(0.5, 2), wrt=(0,), settings=settings(max_examples=20, database=None))
    def test(x, factor):
        return scaled(x, factor)

    test()
