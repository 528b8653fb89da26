"""NumPy's own functions on tensors: they are the operations of the registry, in every form NumPy can be called in."""

import itertools
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.ops import operations
from minigrad.ops.dispatch import signature_of
from minigrad.ops.registry import from_numpy, twins
from minigrad.testing import gradcheck
from minigrad.testing.strategies import calls

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
    "ravel in order": lambda x: np.ravel(x, order="C"), "ravel columns": lambda x: np.ravel(x, "F"),
    "ravel as it lies": lambda x: np.ravel(x.T, "A"), "flatten columns": lambda x: x.flatten("F"),
    "reshape columns": lambda x: np.reshape(x, (9, 1), "F"), "reshape in order": lambda x: x.T.reshape(9, order="A"),
    "astype": lambda x: x.astype(np.float32, copy=False),
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
    "sum in another dtype": lambda x: np.sum(x, 0, np.float32),
    "mean in another dtype": lambda x: np.mean(x, dtype=np.float16, axis=1, keepdims=True),
    "cumsum in another dtype": lambda x: np.cumsum(x, 0, np.float32),
    "nansum in another dtype": lambda x: np.nansum(x, 0, np.float32),
    "nanmean in another dtype": lambda x: np.nanmean(x, dtype=np.float32),
    "hstack": lambda x: np.hstack([x, b]),
    "hstack of one tensor's rows": lambda x: np.hstack(x),
    "vstack": lambda x: np.vstack((b[0], x)),
    "dstack": lambda x: np.dstack(tup=[x, b]),
    "column_stack": lambda x: np.column_stack((x[0], b)),
    "atleast_1d": lambda x: np.atleast_1d(x[0, 0]),
    "atleast_2d of several": lambda x: np.atleast_2d(x[0], x),
    "atleast_3d": lambda x: np.atleast_3d(x),
    "array_split": lambda x: np.array_split(x, 2, axis=-1),
    "hsplit": lambda x: np.hsplit(x, 3),
    "vsplit": lambda x: np.vsplit(x, indices_or_sections=[1]),
    "dsplit": lambda x: np.dsplit(x[None], [2, 1]),
    "flipud": lambda x: np.flipud(x) - np.fliplr(m=x),
    "rot90": lambda x: np.rot90(x, 3, axes=(1, 0)),
    "rollaxis": lambda x: np.rollaxis(x[None], -1, start=1),
    "diff": lambda x: np.diff(x, 2, axis=0),
    "diff with ends": lambda x: np.diff(x, prepend=0.5, append=b),
    "gradient": lambda x: np.gradient(x),
    "gradient along an axis": lambda x: np.gradient(x, 2.0, axis=1, edge_order=2),
    "gradient at coordinates": lambda x: np.gradient(x, 0.5, [0.0, 1.0, 3.0]),
    "gradient along no axis": lambda x: [x, *np.gradient(x, axis=())],
    "cross": lambda x: np.cross(x, b, axis=0),
    "cross by axes": lambda x: np.cross(x, b, 0, 1, axisc=0),
    "linalg.cross": lambda x: np.linalg.cross(x, b, axis=0),
    "kron": lambda x: np.kron(x, b[0]),
    "vdot": lambda x: np.vdot(b, x),
    "median": lambda x: np.median(x, 0, keepdims=True),
    "quantile": lambda x: np.quantile(x, [0.2, 0.7], (0, 1)),
    "quantile by its own method": lambda x: np.quantile(x, 0.4, axis=0, method="hazen", keepdims=True),
    "percentile": lambda x: np.percentile(a=x, q=30, axis=-1, out=None),
    "ptp": lambda x: np.ptp(x, axis=1, keepdims=True),
    "average": lambda x: np.average(x, 1, [1, 2, 3]),
    "average with its weight": lambda x: np.average(x, weights=b, returned=True),
    "nanmax": lambda x: np.nanmax(x, axis=(0, 1)) - np.nanmin(x, 0, keepdims=True),
    "nanvar": lambda x: np.nanvar(x, 0, ddof=1) + np.nanstd(x, keepdims=True),
    "nan_to_num": lambda x: np.nan_to_num(x, copy=True, nan=1.0, posinf=None),
    "cov": lambda x: np.cov(x, b, rowvar=False, fweights=[1, 2, 1]),
    "cov of float32 in its dtype": lambda x: np.cov(x, dtype=np.float32),
    "corrcoef": lambda x: np.corrcoef(x, y=b**2),
    "meshgrid": lambda x: np.meshgrid(x[0], x[1, :2], indexing="ij", copy=False),
    "select": lambda x: np.select([b > 4, x > 1], [x, 2.0], default=-x),
    "select by keyword": lambda x: np.select(condlist=[b > 4], choicelist=[x]),
    "compress": lambda x: np.compress([True, False, True], x, axis=1),
    "interp": lambda x: np.interp(x, [0.0, 2.0, 3.0], b[0]),
    "interp with ends": lambda x: np.interp(2.5, x[2, ::-1] * [1, 2, 0.2] + [0, 1, 2], b[0], left=3.0, right=None),
    "interp with a step at the end": lambda x: np.interp([1.9, 2.0, 2.1], [0.0, 2.0, 2.0], x[0, :3]),
    "periodic interp": lambda x: np.interp(x, [2.0, 0.0, 3.5], b[0], period=1.9),
    "trapezoid": lambda x: np.trapezoid(x, dx=0.5, axis=0),
    "trapezoid at coordinates": lambda x: np.trapezoid(b, x),
    "degrees": lambda x: np.degrees(x) + np.rad2deg(x) + np.radians(x) + np.deg2rad(x),
    "fabs": lambda x: np.fabs(-x),
    "maximum.accumulate": lambda x: np.maximum.accumulate(x),
    "minimum.accumulate": lambda x: np.minimum.accumulate(x, axis=1),
    "sections from a tensor": lambda x: np.hsplit(x, mg.tensor([1, 2])) + np.array_split(x, mg.tensor(2)),
    "axes in a list": lambda x: [np.median(x, [0, 1]), np.average(x, axis=[1])],
    "a number along its only axis": lambda x: np.nanstd(x[0, 0] * x[0], 0) + np.nanvar(x[0, 0], axis=0),
    "accumulate along the only axis": lambda x: np.maximum.accumulate(x[0], axis=None),
    "lstsq": lambda x: np.linalg.lstsq(x[:, :2], b, rcond=None)[:2],
    "lstsq's singular values": lambda x: np.linalg.lstsq(x, b[0], rcond=1e-3)[3],
    "matrix_power": lambda x: np.linalg.matrix_power(x, -3),
    "conj": lambda x: np.conj(x), "real": lambda x: np.real(x),
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


@pytest.mark.parametrize("operation", [op for op in operations.values() if from_numpy(op.twin)], ids=lambda op: op.name)
def test_an_option_that_can_be_given_by_place_has_numpys_place(operation):
    ours, theirs = (
        [p for p in signature_of(f).parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        for f in (operation.function, operation.twin)
    )
    places = {p.name.removeprefix("new"): place for place, p in enumerate(theirs)}  # `newshape`, before NumPy 2.1
    for place, option in enumerate(ours):
        if "Tensor" in str(option.annotation) or not places:  # an operand, or Python cannot tell of older versions
            continue
        if places.get(option.name) != place:
            assert (ours[place - 1].name, option.name) == ("axis", "keepdims")  # as in PyTorch


@pytest.mark.parametrize(
    "call",
    [
        lambda np, x: np.nan_to_num(x, True), lambda np, x: np.sum(x, 0, "f4"), lambda np, x: np.mean(x, 0, "f4"),
        lambda np, x: np.var(x, 0, "f4"), lambda np, x: np.nanstd(x, 0, None, None, 1),
        lambda np, x: np.quantile(x, 0.5, 0, None), lambda np, x: np.median(x, 0, None, True),
        lambda np, x: np.take(x, [0], 0, None, "clip"), lambda np, x: np.reshape(x, (9,), "F"),
    ],
)
def test_a_call_that_means_something_to_numpy_does_not_mean_something_else(call):
    call(np, b)
    with pytest.raises(TypeError):
        call(mg, b)


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
    "searchsorted in a tensor": lambda x: np.searchsorted(np.sort(x[0]), [0.6, 2.0]),
    "isnan": lambda x: np.isnan(x),
    "greater": lambda x: np.greater(x, b) | (b >= x),
    "logical_and": lambda x: np.logical_and(x, True),
    "array_repr of a value": lambda x: np.array_repr(x),
    "nanargmax": lambda x: np.nanargmax(x, axis=1),
    "isreal": lambda x: np.isreal(x),
    "triu_indices_from": lambda x: np.triu_indices_from(x),
    "matrix_rank": lambda x: np.linalg.matrix_rank(x),
    "einsum_path": lambda x: np.einsum_path("ij,jk", x, x)[1],
}


@pytest.mark.parametrize("call", PLAIN_RESULTS.values(), ids=PLAIN_RESULTS)
def test_what_carries_no_gradient_is_answered_with_plain_arrays(call):
    found = call(mg.tensor(a, requires_grad=True))
    assert not isinstance(found, mg.Tensor)
    np.testing.assert_array_equal(found, call(a))


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda x: np.nanmedian(x), "numpy.nanmedian"), (lambda x: np.unique(x), "numpy.unique"),
        (lambda x: np.histogram(x), "numpy.histogram"), (lambda x: np.fft.fft(x), "numpy.fft"),
        (lambda x: np.block([[b, x]]), "numpy.block"), (lambda x: np.bincount([0, 1, 1], x[0]), "numpy.bincount"),
        (lambda x: np.fmax.accumulate(x), "numpy.fmax.accumulate"),
        (lambda x: np.linalg.eigvals(x), "numpy.eigvals"), (lambda x: np.convolve(x[0], x[0]), "numpy.convolve"),
        (lambda x: np.heaviside(x, 0.5), "numpy.heaviside"), (lambda x: np.modf(x), "numpy.modf"),
        (lambda x: np.add.reduce(x), "numpy.add.reduce"), (lambda x: np.multiply.outer(x, x), "numpy.multiply.outer"),
    ],
)
def test_what_is_not_differentiable_is_refused_by_name_with_a_way_out(call, name):
    with pytest.raises(TypeError, match=rf"{name}.* is not differentiable here: .*detach\(\)"):
        call(mg.tensor(a, requires_grad=True))


@pytest.mark.parametrize(
    ("call", "keyword"),
    [
        (lambda x: np.prod(x, dtype=np.float32), "dtype"), (lambda x: np.sum(x, out=np.zeros(3), axis=0), "out"),
        (lambda x: np.sum(x, where=b > 2), "where"), (lambda x: np.max(x, initial=0), "initial"),
        (lambda x: np.exp(x, where=b > 2), "where"), (lambda x: np.add(x, b, out=np.zeros((3, 3))), "out"),
        (lambda x: np.add(x, b, dtype=np.float32), "dtype"),
        (lambda x: np.concatenate([x, b], dtype=np.float32), "dtype"), (lambda x: np.sort(x, kind="heapsort"), "kind"),
        (lambda x: np.einsum("ij->i", x, dtype=float), "dtype"), (lambda x: np.std(x, correction=1), "correction"),
        (lambda x: np.pad(x, 1, "linear_ramp", end_values=1), "end_values"),
        (lambda x: np.quantile(x, 0.5, weights=b[0]), "weights"), (lambda x: np.nanmax(x, where=b > 2), "where"),
        (lambda x: np.median(x, overwrite_input=True), "overwrite_input"), (lambda x: np.std(x, dtype="f4"), "dtype"),
        (lambda x: np.maximum.accumulate(x, out=np.zeros((3, 3))), "out"), (lambda x: np.degrees(x, out=b * 1), "out"),
        (lambda x: np.linalg.svd(x, hermitian=True), "hermitian"), (lambda x: np.round(x, out=x), "out"),
    ],
)
def test_a_keyword_that_an_operation_does_not_take_is_named(call, keyword):
    with pytest.raises(TypeError, match=rf"takes no {keyword}=: .*detach\(\)"):
        call(mg.tensor(a) if keyword == "out" else mg.tensor(a, requires_grad=True))


def test_adding_a_tensor_into_an_array_is_refused():
    array = np.zeros(3)
    with pytest.raises(TypeError, match=r"takes no out=: .* for array \+= x write array = array \+ x"):
        array += mg.tensor(np.ones(3))


VALUES_ONLY = {
    "unique with counts": lambda x: np.unique(x, return_counts=True),
    "histogram": lambda x: np.histogram(x, bins=4),
    "bincount": lambda x: np.bincount([0, 2, 2], weights=x[0]),
    "append": lambda x: np.append(x, [x, b]),
    "block": lambda x: np.block([[x, b], [b, x]]),
    "nanmedian": lambda x: np.nanmedian(x, axis=0),
    "convolve": lambda x: np.convolve(x[0], b[0], mode="same"),
    "fft": lambda x: np.fft.fft(x),
    "polyfit": lambda x: np.polyfit(x[0], b[0], deg=1),
    "add.reduce": lambda x: np.add.reduce(x, axis=(0, 1)),
    "multiply.outer": lambda x: np.multiply.outer(x, x),
    "apply_along_axis": lambda x: np.apply_along_axis(np.sum, 0, x),
}


@pytest.mark.parametrize("call", VALUES_ONLY.values(), ids=VALUES_ONLY)
def test_any_other_function_works_on_the_values_unless_a_gradient_is_asked_for(call):
    found, expected = call(mg.tensor(a)), call(a)
    assert not isinstance(found, mg.Tensor)
    for one, other in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, expected)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, strict=True)
    needed = mg.tensor(a, requires_grad=True)
    with pytest.raises(TypeError, match=r"is not differentiable here: .*detach\(\)"):
        call(needed)
    with mg.no_grad():
        np.testing.assert_equal(call(needed), expected)


@pytest.mark.parametrize(
    "write",
    [
        lambda x: np.copyto(x, 0), lambda x: np.fill_diagonal(x, 0.0), lambda x: np.put(x, [0], 1.0),
        lambda x: np.place(x, b > 2, 0.0), lambda x: np.putmask(x, b > 2, 0.0), lambda x: np.add.at(x, [0], 1.0),
        lambda x: np.put_along_axis(x, np.zeros((1, 3), int), 0.0, 0), lambda x: np.nancumsum(b, 1, out=x),
        lambda x: np.add.reduce([b, b], out=x),
    ],
)
def test_a_function_that_would_write_into_a_tensor_is_refused(write):
    x = mg.tensor(a)
    with pytest.raises(TypeError, match=r"would change a tensor behind the graph's back: write x = put"):
        write(x)
    np.testing.assert_array_equal(x.numpy(), a)


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


# ------------------------------------------------------------------------------------------------ composed functions

nan, inf = np.nan, np.inf
COMPOSED = [op for op in operations.values() if op.function.__module__ == "minigrad.ops.compositions"]


def gradient_of(f, x, dtype=float):
    t = mg.tensor(x, dtype=dtype, requires_grad=True)
    f(t).sum().backward()
    assert t.grad.dtype == dtype
    return t.grad.numpy()


@pytest.mark.parametrize("operation", COMPOSED, ids=lambda operation: operation.name)
@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float16, np.int64]))
def test_composed_functions_have_numpys_dtype_in_every_precision(operation, data, dtype):
    call = data.draw(calls(operation))
    inputs = [x.astype(dtype) for x in call.inputs]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            expected = call.combine(operation.twin(*call.arguments(*inputs), **call.options))
    except ZeroDivisionError:
        return  # weights rounded to zeros
    with np.errstate(all="ignore"):
        found = call(*map(mg.tensor, inputs))
    assert found.dtype == np.asarray(expected).dtype
    if not np.isfinite(expected).all():  # coordinates or weights that were rounded to the same
        return
    rtol = {np.float32: 1e-4, np.float16: 0.05, np.int64: 1e-12}[dtype]
    np.testing.assert_allclose(found.numpy(), expected, rtol=rtol, atol=rtol, strict=True)


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (mg.median, [3.0, 1.0, 2.0], [0, 0, 1]), (mg.median, [3.0, 1.0, 2.0, 9.0], [0.5, 0, 0.5, 0]),
        (mg.median, [1.0, 2.0, 2.0, 2.0], [0, 1 / 3, 1 / 3, 1 / 3]),
        (mg.median, [1.0, 2.0, 2.0, 3.0], [0, 0.5, 0.5, 0]),
        (mg.median, [1.0, nan, 3.0], [0, 1, 0]), (lambda x: mg.quantile(x, 1.0), [2.0, 5.0, 5.0], [0, 0.5, 0.5]),
        (lambda x: mg.quantile(x, 0.25), [1.0, 2.0, 4.0], [0.5, 0.5, 0]),
        (lambda x: mg.quantile(x, [0.0, 0.5]), [1.0, 1.0, 4.0], [1, 1, 0]),
        (lambda x: mg.percentile(x, 75, method="nearest"), [4.0, 1.0, 3.0, 2.0], [0, 0, 1, 0]),
        (mg.ptp, [1.0, 3.0, 3.0], [-1, 0.5, 0.5]), (mg.ptp, [2.0, 2.0], [0, 0]),
        (mg.maximum.accumulate, [1.0, 1.0, 0.0, 2.0], [2, 1, 0, 1]),
        (mg.minimum.accumulate, [1.0, 0.0, 0.0, 0.0], [1, 1 + 1 / 2 + 1 / 3, 1 / 2 + 1 / 3, 1 / 3]),
        (mg.maximum.accumulate, [1.0, nan, 2.0], [1, 2, 0]),
        (mg.fabs, [-2.0, 0.0, 3.0], [-1, 0, 1]), (mg.corrcoef, [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]], [[0] * 3] * 2),
        (lambda x: mg.interp(x, [0.0, 1.0, 3.0], [0.0, 2.0, 8.0]), [-1.0, 0.0, 0.5, 1.0, 3.0, 4.0], [0, 2, 2, 3, 3, 0]),
        (lambda xp: mg.interp([-inf, inf], xp, [1.0, 2.0]), [0.0, 1.0], [0, 0]),
        (lambda fp: mg.interp([-inf, 0.25, inf], [0.0, 1.0], fp), [1.0, 2.0], [1.75, 1.25]),
    ],
)
def test_composed_functions_share_a_gradient_among_ties_and_are_settled_at_kinks(f, x, expected):
    np.testing.assert_allclose(gradient_of(f, x), expected, atol=1e-15)


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (mg.nansum, [1.0, nan, 3.0], [1, 0, 1]), (mg.nansum, [nan, nan], [0, 0]), (mg.nansum, [inf, nan], [1, 0]),
        (mg.nanmean, [1.0, nan, 3.0], [0.5, 0, 0.5]), (mg.nanmean, [nan, nan], [0, 0]),
        (mg.nanmax, [1.0, nan, 3.0, 3.0], [0, 0, 0.5, 0.5]), (mg.nanmax, [-inf, nan], [1, 0]),
        (mg.nanmin, [1.0, nan, 3.0], [1, 0, 0]), (mg.nanmin, [inf, nan, inf], [0.5, 0, 0.5]),
        (mg.nanvar, [1.0, nan, 3.0], [-1, 0, 1]), (mg.nanvar, [nan, nan], [0, 0]), (mg.nanvar, [5.0, nan], [0, 0]),
        (mg.nanstd, [1.0, nan, 3.0], [-0.5, 0, 0.5]), (mg.nanstd, [0.1, 0.1, nan, 0.1], [0, 0, 0, 0]),
        (lambda x: mg.nan_to_num(x) / 4, [nan, 1.0, inf, -inf], [0, 0.25, 0, 0]),
    ],
)
def test_nan_gets_no_gradient_and_does_no_harm_to_the_others(f, x, expected):
    np.testing.assert_allclose(gradient_of(f, x), expected, atol=1e-15)


@pytest.mark.parametrize("name", ["nansum", "nanmean", "nanmax", "nanmin", "nanvar", "nanstd"])
def test_where_all_is_nan_the_gradient_is_zero(name):
    x = np.array([[nan, nan, nan], [1.0, nan, 3.0]])
    f, options = getattr(mg, name), {"ddof": 1} if name in ("nanvar", "nanstd") else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of slices that have no value
        expected = getattr(np, name)(x, 1, **options)
        found = f(mg.tensor(x), 1, **options)
        gradient = gradient_of(lambda t: f(t, 1, **options), x)
    np.testing.assert_allclose(found.numpy(), expected)
    assert (gradient[np.isnan(x)] == 0).all()
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("name", ["nanvar", "nanstd"])
def test_the_spread_of_what_is_not_nan_has_gradients_of_gradients(name):
    missing = np.array([[False, True, False, False], [False, False, False, True]])
    x = np.array([[1.0, 0.0, 2.5, 4.0], [-1.0, 3.0, 0.5, 0.0]])
    for axis, ddof in ((1, 0), (0, 0), (None, 1), ((0, 1), 1.5)):
        gradcheck(lambda t, a=axis, d=ddof: getattr(mg, name)(mg.where(missing, nan, t), a, ddof=d), x, order=2)


def test_means_and_extremes_of_many_halves_have_gradients_that_are_not_rounded_to_zero():
    ones = np.ones(70000)
    for f in (mg.nanmean, mg.nanmax, mg.nanmin):
        np.testing.assert_allclose(gradient_of(f, ones, np.float16), 1 / 70000, rtol=1e-2)
    assert mg.nanmean(mg.tensor(ones, dtype=np.float16)).item() == 1
    halves = mg.tensor(ones, dtype=np.float16)
    assert mg.average(halves, weights=halves).item() == 1


def test_the_spread_of_huge_numbers_does_not_overflow_on_the_way():
    np.testing.assert_allclose(gradient_of(mg.nanstd, [1e25, 2e25, nan], np.float32), [-0.5, 0.5, 0], rtol=1e-6)


def test_a_total_is_added_up_in_the_dtype_that_is_asked_for():
    many = mg.tensor(np.ones(70000), dtype=np.float16, requires_grad=True)
    total = many.sum(dtype=np.float32)
    assert (total.item(), total.dtype) == (70000, np.float32)
    total.backward()
    assert many.grad.dtype == np.float16
    np.testing.assert_array_equal(many.grad.numpy(), np.ones(70000))
    for f in (mg.sum, mg.mean, mg.cumsum, mg.nansum):
        counted = f(mg.tensor([1.5, 2.5], requires_grad=True), dtype=np.int64)
        assert not counted.requires_grad
        np.testing.assert_array_equal(counted.numpy(), getattr(np, f.__name__)([1.5, 2.5], dtype=np.int64))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.average(np.ones((3, 2)), 0, [1, 2]), ValueError, "consistent with shape of a"),
        (lambda: mg.average(np.ones((3, 2)), weights=[1, 2]), TypeError, "Axis must be specified"),
        (lambda: mg.average([1.0, 2.0], weights=[1, -1]), ZeroDivisionError, "sum to zero"),
        (lambda: mg.diff([1.0], -1), ValueError, "got n=-1"), (lambda: mg.diff([1.0], 1, (0,)), TypeError, "integer"),
        (lambda: mg.trapezoid([1.0], axis=(0,)), TypeError, "integer"),
        (lambda: mg.gradient([1.0, 2.0], 1, 2), TypeError, "one distance, or one for each of 1 axes, got 2"),
        (lambda: mg.gradient([True, False]), TypeError, "differences, which booleans do not have"),
        (lambda: mg.gradient(np.eye(3) > 0, axis=1), TypeError, "convert them with astype"),
        (lambda: mg.gradient(np.ones(3), np.array([False, True, True])), TypeError, "booleans do not have"),
        (lambda: mg.einsum(), ValueError, "einsum takes a text such as"),
        (lambda: mg.einsum([[1.0, 2.0]]), ValueError, "inputs with a list of labels for each"),
        *[(lambda labels=labels: mg.einsum(np.ones(2), labels), ValueError, "labels of einsum are whole numbers from 0")
          for labels in ([-1], [52], [0.0], np.ones(1), ["i"], [[0]])],
        (lambda: mg.gradient([1.0]), ValueError, r"more points than that along each axis \(got 1\)"),
        (lambda: mg.gradient(np.ones(4), edge_order=3), ValueError, r"edge_order 1 or 2 \(got 3\)"),
        (lambda: mg.gradient(np.ones(4), [1.0, 2.0]), ValueError, r"got shape \(2,\)"),
        (lambda: mg.cross(np.ones(4), np.ones(3)), ValueError, r"2 or 3 elements, got shapes \(4,\) and \(3,\)"),
        (lambda: mg.meshgrid([1.0], indexing="yx"), ValueError, "got 'yx'"),
        (lambda: mg.interp(1.0, [0.0, 1.0], [1.0]), ValueError, "not of the same length"),
        (lambda: mg.interp(1.0, [0.0], [1.0], period=0), ValueError, "non-zero"),
        (lambda: mg.cov(np.ones((2, 2, 2))), ValueError, "at most two dimensions"),
        (lambda: mg.cov(np.ones((2, 3)), fweights=[1, 2]), RuntimeError, "incompatible numbers of samples"),
        (lambda: mg.cov(np.ones((2, 3)), ddof=0.5), ValueError, "ddof must be integer"),
        *[(lambda call=call: call(mg.tensor(1.0, requires_grad=True)), TypeError, r"\.detach\(\)") for call in (
            lambda t: mg.quantile([1.0], t), lambda t: mg.norm([1.0], t), lambda t: mg.linalg.norm(np.eye(2), t),
            lambda t: mg.std([1.0], ddof=t), lambda t: mg.var([1.0], ddof=t), lambda t: mg.nanvar([1.0], ddof=t),
            lambda t: mg.cov([1.0, 2.0], ddof=t), lambda t: mg.nan_to_num([1.0], nan=t))],
        (lambda: mg.quantile([1.0], 1.5), ValueError, r"range \[0, 1\]"),
        (lambda: mg.quantile([1.0], 0.5, method="middle"), ValueError, "'middle' is not a valid method"),
        (lambda: mg.select([1], [1.0]), TypeError, "boolean"), (lambda: mg.select([], []), ValueError, "empty"),
        (lambda: mg.compress([[True]], [1.0]), ValueError, "1-d"), (lambda: mg.hsplit(1.0, 2), ValueError, "1 or more"),
        (lambda: mg.vsplit([1.0, 2.0], 2), ValueError, "2 or more"),
        (lambda: mg.hstack([]), ValueError, "at least one"),
        (lambda: mg.hsplit([1.0, 2.0, 3.0], 2), ValueError, "equal division"),
        (lambda: mg.array_split([1.0], 0), ValueError, "larger than 0"),
        (lambda: mg.rot90([1.0]), ValueError, "different"),
        (lambda: mg.rollaxis([1.0], 1), ValueError, "out of bounds"),
        (lambda: mg.flipud(1.0), ValueError, "out of bounds"),
        (lambda: mg.linalg.matrix_power(np.ones((2, 3)), 1), np.linalg.LinAlgError, "square"),
        (lambda: mg.linalg.matrix_power(np.ones((2, 2)), 1.5), TypeError, "integer"),
        (lambda: mg.maximum.accumulate(1.0), TypeError, "scalar"),
    ],
)
def test_arguments_that_numpy_refuses_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def shapes_up_to(axes):
    return [shape for n in range(axes + 1) for shape in itertools.product((1, 2, 3), repeat=n)]


def all_calls_of_two_arrays():
    """Calls whose meaning depends on how many axes, and how long ones, each of two arrays has."""
    for name, (x, y), rowvar in itertools.product(
        ["cov", "corrcoef"], itertools.product(shapes_up_to(2), repeat=2), [True, False]
    ):
        a_row = any(len(shape) == 2 and shape[0] == 1 for shape in (x, y))
        if rowvar or not a_row or np.lib.NumpyVersion(np.__version__) >= "2.2.0":  # it was taken for a column before
            yield name, (x, y), lambda f, x, y, rowvar=rowvar: f(x, y, rowvar=rowvar)
    for (y, x), axis in itertools.product(itertools.product(shapes_up_to(2), shapes_up_to(3)), range(-2, 2)):
        yield "trapezoid", (y, x), lambda f, y, x, axis=axis: f(y, x, axis=axis)
        yield "trapezoid", (y, x), lambda f, y, dx, axis=axis: f(y, dx=dx, axis=axis)


def test_two_arrays_go_together_as_in_numpy_whatever_their_shapes():
    rng, seen = np.random.default_rng(0), set()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of too few observations
        for name, shapes, call in all_calls_of_two_arrays():
            given = [rng.random(shape) for shape in shapes]
            try:
                expected = call(getattr(np, name), *given)
            except (ValueError, IndexError):
                with pytest.raises((ValueError, IndexError)):
                    call(getattr(mg, name), *given)
                continue
            seen.add(name)
            np.testing.assert_allclose(call(getattr(mg, name), *given).numpy(), expected, err_msg=f"{name}, {shapes}")
    assert seen == {"cov", "corrcoef", "trapezoid"}


def test_vectors_of_two_elements_have_a_vector_product():
    x, y = np.array([[1.0, 2.0], [3.0, 5.0]]), np.array([0.5, -1.5])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy's: it wants three elements
        flat, mixed = np.cross(x, y), np.cross(x, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(mg.cross(x, y).numpy(), flat)
    np.testing.assert_array_equal(mg.cross(x, [1.0, 2.0, 3.0]).numpy(), mixed)
    gradcheck(mg.cross, x, y)


def test_a_least_squares_solution_counts_the_rank_as_numpy_does():
    a, b = np.array([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]), np.array([1.0, 0.0, 2.0])
    d = np.diag([1.0, 1e-3])
    for matrix, cutoff in ((a, None), (d, 1e-2), (d, None), (0 * a, None), (a, -1)):
        expected = np.linalg.lstsq(matrix, b[: len(matrix)], cutoff)
        found = mg.linalg.lstsq(matrix, b[: len(matrix)], cutoff)
        assert found[2] == expected[2]
        for i in (0, 1, 3):
            np.testing.assert_allclose(found[i].numpy(), expected[i], rtol=1e-10, atol=1e-12, strict=True)


def test_the_zeroth_power_of_a_matrix_is_the_identity_whatever_the_matrix_is():
    x = mg.tensor(np.stack([a, 0 * a]), requires_grad=True)
    power = mg.linalg.matrix_power(x, 0)
    np.testing.assert_array_equal(power.numpy(), [np.eye(3)] * 2)
    power.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.zeros((2, 3, 3)))


@pytest.mark.parametrize("data", [[True, False], [1, 2], [1.0, -0.0]])
def test_a_copy_is_one_of_any_dtype_and_passes_gradients_on(data):
    x = mg.tensor(data)
    for copied in (np.copy(x), x.copy()):
        assert type(copied) is mg.Tensor
        assert copied.dtype == x.dtype
        assert copied.tolist() == x.tolist()
        assert not np.shares_memory(copied, x)
    assert mg.grad(lambda x: np.copy(x).sum())(np.ones(2)).tolist() == [1, 1]


def test_what_arrays_have_as_methods_tensors_have_too():
    x = mg.tensor(b, requires_grad=True)
    same(x.compress([True, False, True], axis=1), b.compress([True, False, True], axis=1))
    same(x.ptp(axis=0), np.ptp(b, axis=0))
    assert mg.absolute is mg.abs
    assert mg.true_divide is mg.divide


def test_a_function_of_objects_is_no_predicate():
    x = mg.tensor([1.5, 2.5], requires_grad=True)
    with pytest.raises(TypeError, match=r"is not differentiable here: .*detach\(\)"):
        np.frompyfunc(lambda v: v * v, 1, 1)(x)
    doubled = np.frompyfunc(lambda v: 2 * v, 1, 1)(x.detach())
    assert isinstance(doubled, np.ndarray)
    assert doubled.tolist() == [3.0, 5.0]
    assert np.frompyfunc(str, 1, 1)(mg.tensor(1.0)) == "1.0"
    assert np.frompyfunc(lambda v: (v, -v), 1, 2)(mg.tensor(1.0)) == (1.0, -1.0)
