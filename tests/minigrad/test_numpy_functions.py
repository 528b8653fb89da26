"""NumPy's own functions on tensors: they are the operations of the registry, in every form NumPy can be called in."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.ops import operations
from minigrad.ops.registry import from_numpy, twins

a = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, 0.25], [0.5, 0.25, 2.0]])
b = np.arange(9.0).reshape(3, 3) + 1


def same(found, expected):
    if isinstance(expected, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert isinstance(found, mg.Tensor)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12, strict=True)


CALLS = {
    "positional axis": lambda x: np.sum(x, 0),
    "keyword axis": lambda x: np.sum(x, axis=(0, 1), keepdims=True),
    "everything by keyword": lambda x: np.sum(a=x, axis=-1),
    "defaults spelled out": lambda x: np.sum(x, 1, None, None, True),
    "mean": lambda x: np.mean(x, axis=1, dtype=None, out=None),
    "std with ddof": lambda x: np.std(x, ddof=1, axis=0),
    "std with ddof by position": lambda x: np.std(x, 0, None, None, 1),
    "var": lambda x: np.var(x, axis=None, keepdims=True),
    "amax": lambda x: np.amax(x, 1),
    "amin": lambda x: np.amin(x, axis=1, keepdims=True),
    "prod": lambda x: np.prod(x, -1),
    "cumsum": lambda x: np.cumsum(x, axis=1),
    "clip by position": lambda x: np.clip(x, 1, 3),
    "clip with None": lambda x: np.clip(x, None, 3),
    "clip by its old names": lambda x: np.clip(x, a_min=1, a_max=None),
    "clip by its new names": lambda x: np.clip(x, max=2.0),
    "absolute": lambda x: np.absolute(-x),
    "true_divide": lambda x: np.true_divide(x, 2),
    "pow": lambda x: np.pow(x, 2),
    "an array first": lambda x: np.add(b, x) + b * x - b / x,
    "matmul": lambda x: b @ x + np.matmul(x, b),
    "concatenate": lambda x: np.concatenate([x, b]),
    "concat of a tuple": lambda x: np.concat((b, x), axis=1),
    "concatenate flat": lambda x: np.concatenate([b, x], axis=None),
    "stack": lambda x: np.stack([x, b], axis=-1),
    "stack by keyword": lambda x: np.stack(arrays=(x, x), axis=1),
    "split": lambda x: np.split(x, 3, axis=1),
    "split at": lambda x: np.split(x, [1, 1]),
    "reshape": lambda x: np.reshape(x, (9,)),
    "reshape by keyword": lambda x: np.reshape(x, shape=-1, order="C"),
    "transpose": lambda x: np.transpose(x, axes=(1, 0)),
    "permute_dims": lambda x: np.permute_dims(x),
    "matrix_transpose": lambda x: np.matrix_transpose(x),
    "moveaxis": lambda x: np.moveaxis(x, 0, -1),
    "expand_dims": lambda x: np.expand_dims(x, axis=(0, 2)),
    "squeeze": lambda x: np.squeeze(x[None], axis=0),
    "ravel": lambda x: np.ravel(x),
    "ravel in order": lambda x: np.ravel(x, order="C"),
    "tile": lambda x: np.tile(A=x, reps=(2, 1)),
    "repeat": lambda x: np.repeat(x, 2, axis=0),
    "roll": lambda x: np.roll(x, 1, 0),
    "flip": lambda x: np.flip(x, axis=1),
    "pad": lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=1.5),
    "pad by mode": lambda x: np.pad(array=x, pad_width=1, mode="edge"),
    "tril": lambda x: np.tril(x, -1) + np.triu(x, k=1),
    "diag": lambda x: np.diag(np.diag(x, k=1), 1),
    "trace": lambda x: np.trace(x, offset=1),
    "take": lambda x: np.take(x, [0, -1], axis=1),
    "take by mode": lambda x: np.take(x, [0, 12], mode="wrap"),
    "take_along_axis": lambda x: np.take_along_axis(x, np.argsort(x, axis=0), axis=0),
    "sort": lambda x: np.sort(x, axis=0),
    "where": lambda x: np.where(b > 4, x, b),
    "where with a tensor's condition": lambda x: np.where(x > 1, 0.0, x),
    "copy": lambda x: np.copy(x),
    "dot": lambda x: np.dot(x, b),
    "inner": lambda x: np.inner(b, x),
    "outer": lambda x: np.outer(x, b[0]),
    "tensordot": lambda x: np.tensordot(x, b, axes=([0], [1])),
    "einsum": lambda x: np.einsum("ij,kj->ik", x, b),
    "einsum optimized": lambda x: np.einsum("ij,jk,kl", x, b, x, optimize=True),
    "einsum with numbers": lambda x: np.einsum(x, [0, 1], b, [1, 2], [2, 0]),
    "multi_dot": lambda x: np.linalg.multi_dot([b[0], x, b, x[:, 0]]),
    "sliding_window_view": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    "inv": lambda x: np.linalg.inv(x),
    "solve": lambda x: np.linalg.solve(x, b),
    "det": lambda x: np.linalg.det(x),
    "slogdet": lambda x: np.linalg.slogdet(x),
    "cholesky": lambda x: np.linalg.cholesky(x),
    "upper cholesky": lambda x: np.linalg.cholesky(x, upper=True),
    "qr": lambda x: np.linalg.qr(x),
    "qr by mode": lambda x: np.linalg.qr(x, "r"),
    "eigh": lambda x: np.linalg.eigh(x, UPLO="U"),
    "svd": lambda x: np.linalg.svd(x, hermitian=False),
    "singular values": lambda x: np.linalg.svd(x, compute_uv=False),
    "pinv": lambda x: np.linalg.pinv(x),
    "norm": lambda x: np.linalg.norm(x, ord=1, axis=0),
    "linalg.matmul": lambda x: np.linalg.matmul(x, b),
    "linalg.outer": lambda x: np.linalg.outer(x[0], b[0]),
    "linalg.matrix_transpose": lambda x: np.linalg.matrix_transpose(x),
    "a tensor among plain arguments": lambda x: np.maximum(2.0, x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_in_numpys_form_gives_a_tensor_of_numpys_value(call):
    try:
        expected = call(a)
    except TypeError:
        pytest.skip("this form is newer than this NumPy")
    same(call(mg.tensor(a)), expected)
    tracked = call(mg.tensor(a, requires_grad=True))
    parts = tracked if isinstance(tracked, (list, tuple)) else [tracked]
    assert any(part.requires_grad for part in parts)


def test_every_operation_with_a_numpy_twin_is_what_numpys_function_does():
    for operation in operations.values():
        if from_numpy(operation.twin):
            assert twins[operation.twin] is operation.function, operation.name


PLAIN_RESULTS = {
    "argmax": lambda x: np.argmax(x, axis=1),
    "argsort": lambda x: np.argsort(x, axis=0),
    "nonzero": lambda x: np.nonzero(x)[0],
    "where as nonzero": lambda x: np.where(x)[1],
    "count_nonzero": lambda x: np.count_nonzero(x),
    "allclose": lambda x: np.allclose(x, b),
    "isclose": lambda x: np.isclose(b, x, rtol=0.5),
    "any": lambda x: np.any(x, axis=0, keepdims=True),
    "all": lambda x: np.all(x),
    "shape": lambda x: np.shape(x),
    "size": lambda x: np.size(x),
    "array_equal": lambda x: np.array_equal(x, [x, x][0]),
    "zeros_like": lambda x: np.zeros_like(x, dtype=int),
    "searchsorted": lambda x: np.searchsorted([0.0, 1.0, 2.0], x),
    "isnan": lambda x: np.isnan(x),
    "greater": lambda x: np.greater(x, b) | (b >= x),
    "logical_and": lambda x: np.logical_and(x, True),
    "array_repr of a value": lambda x: np.array_repr(x),
}


@pytest.mark.parametrize("call", PLAIN_RESULTS.values(), ids=PLAIN_RESULTS)
def test_what_carries_no_gradient_is_answered_with_plain_arrays(call):
    found = call(mg.tensor(a, requires_grad=True))
    assert not isinstance(found, mg.Tensor)
    np.testing.assert_array_equal(found, call(a))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.median(x), "numpy.median"), (lambda x: np.nanmean(x), "numpy.nanmean"),
        (lambda x: np.percentile(x, 50), "numpy.percentile"), (lambda x: np.fft.fft(x), "numpy.fft"),
        (lambda x: np.linalg.eigvals(x), "numpy.eigvals"), (lambda x: np.convolve(x[0], x[0]), "numpy.convolve"),
        (lambda x: np.heaviside(x, 0.5), "numpy.heaviside"), (lambda x: np.modf(x), "numpy.modf"),
        (lambda x: np.add.reduce(x), "numpy.add.reduce"), (lambda x: np.multiply.outer(x, x), "numpy.multiply.outer"),
    ],
)  # fmt: skip
def test_what_is_not_differentiable_is_refused_by_name_with_a_way_out(call, name):
    with pytest.raises(TypeError, match=rf"{name}.* is not differentiable here: .*detach\(\)"):
        call(mg.tensor(a, requires_grad=True))


@pytest.mark.parametrize(
    ("call", "keyword"),
    [
        (lambda x: np.sum(x, dtype=np.float32), "dtype"), (lambda x: np.sum(x, out=np.zeros(3), axis=0), "out"),
        (lambda x: np.sum(x, where=b > 2), "where"), (lambda x: np.max(x, initial=0), "initial"),
        (lambda x: np.exp(x, where=b > 2), "where"), (lambda x: np.add(x, b, out=np.zeros((3, 3))), "out"),
        (lambda x: np.add(x, b, dtype=np.float32), "dtype"), (lambda x: np.reshape(x, 9, order="F"), "order"),
        (lambda x: np.concatenate([x, b], dtype=np.float32), "dtype"), (lambda x: np.sort(x, kind="heapsort"), "kind"),
        (lambda x: np.einsum("ij->i", x, dtype=float), "dtype"), (lambda x: np.std(x, correction=1), "correction"),
        (lambda x: np.pad(x, 1, "linear_ramp", end_values=1), "end_values"),
        (lambda x: np.linalg.svd(x, hermitian=True), "hermitian"), (lambda x: np.round(x, out=x), "out"),
    ],
)  # fmt: skip
def test_a_keyword_that_an_operation_does_not_take_is_named(call, keyword):
    with pytest.raises(TypeError, match=rf"takes no {keyword}=: .*detach\(\)"):
        call(mg.tensor(a) if keyword == "out" else mg.tensor(a, requires_grad=True))


def test_adding_a_tensor_into_an_array_is_refused():
    array = np.zeros(3)
    with pytest.raises(TypeError, match="out="):
        array += mg.tensor(np.ones(3))


def test_a_ufunc_without_an_operation_works_on_constants():
    same(np.heaviside(mg.tensor(a), 0.5), np.heaviside(a, 0.5))
    same(np.modf(mg.tensor(a)), np.modf(a))


def test_other_libraries_take_a_tensor_that_requires_no_gradient():
    x = mg.tensor(a)
    taken = np.from_dlpack(x)
    np.testing.assert_array_equal(taken, a)
    assert np.shares_memory(taken, x.numpy())
    with pytest.raises(TypeError, match=r"\.detach\(\)"):
        np.from_dlpack(mg.tensor(a, requires_grad=True))
