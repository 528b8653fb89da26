"""Our operations on the samples that PyTorch tests its own with; skipped without it, or without its `expecttest`.

The samples are those of `torch.testing._internal`: they belong to no public interface and change from one version to
the next. What differs on purpose stands in `DIFFERENCES`, each with its reason. Written for PyTorch 2.13.
"""

import itertools
import warnings

import numpy as np
import pytest

import minigrad as mg
from tests.torch_samples import TABLE, Difference, array_of, difference, flat, gradient_or_zeros, translated

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    database = pytest.importorskip("torch.testing._internal.common_methods_invocations").op_db

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's samples warn of much; NumPy of what becomes NaN

OPERATIONS = {"|".join(filter(None, (op.name, op.variant_test_name))): op for op in database}
OPERATIONS = {name: op for name, op in OPERATIONS.items() if name in TABLE}
LARGEST = 2000  # elements of a sample
# Of operations with many or slow samples a part is taken: every so manieth.
STEPS = {
    "nn.functional.max_pool2d": 18, "nn.functional.conv2d": 2, "svd": 3, "linalg.svd": 3, "linalg.pinv|singular": 4,
}



def argument(name, *values):
    """Samples with one of these values of an argument given by name."""
    return lambda sample: name in sample.kwargs and sample.kwargs[name] in values


def first_argument(*values):
    """Samples with one of these values of the argument after the input."""
    return lambda sample: bool(sample.args) and sample.args[0] in values


def is_zero_order(sample):
    order = sample.args[0] if sample.args else sample.kwargs.get("ord", sample.kwargs.get("p"))
    return order == 0 and not isinstance(order, bool)


def is_random(sample):
    return sample.kwargs.get("training", True) and 0 < sample.kwargs.get("p", 0.5) < 1


def has_ties_or_nan(sample):
    a, b = sample.input, sample.args[0]
    return bool(torch.any((a == b) | torch.isnan(a) | torch.isnan(b)))


def is_not_finite(sample):
    return any(not torch.isfinite(x).all() for x in tensors_of(parts_of(sample)) if x.is_floating_point())


def has_zeros_or_infinities(sample):
    return is_not_finite(sample) or bool(torch.any((sample.input == 0) & (sample.args[0] == 0)))


def number_of_axes(*numbers):
    return lambda sample: sample.input.ndim in numbers


DIFFERENCES = [
    Difference("nn.functional.softplus", "value gradient second",
               "PyTorch replaces it by x beyond a threshold; ours is exact", argument("threshold", 0.2)),
    Difference("nn.functional.dropout nn.functional.dropout2d", "value", "drawn at random", is_random),
    Difference("nn.functional.dropout2d", "refused", "takes batches of images", number_of_axes(3)),
    Difference("nn.functional.batch_norm", "refused", "takes (n, channels, ...)", number_of_axes(1)),
    Difference("nn.functional.avg_pool2d", "refused", "a setting is one number or two, not (1,)",
               lambda sample: len(sample.args) > 2 and isinstance(sample.args[2], tuple)),
    Difference("norm linalg.norm linalg.norm|subgradients_at_zero linalg.vector_norm nn.functional.normalize",
               "gradient", "order 0 counts, so a derivative is refused: PyTorch's is zero", is_zero_order),
    Difference("linalg.norm|subgradients_at_zero", "gradient",
               "the slope is 0 where the norm is 0; PyTorch takes any subgradient", first_argument("nuc", 2, -2)),
    Difference("linalg.norm|subgradients_at_zero", "second", "PyTorch has NaN where the norm is 0"),
    Difference("einsum", "refused", "NumPy sums over no axes of an ellipsis", lambda sample: "..." in sample.args[0]),
    Difference("gather", "refused", "an index of no elements has the axes it should have, too", number_of_axes(1)),
    Difference("transpose transpose_copy", "refused", "a single number has no axis 0", number_of_axes(0)),
    Difference("tensordot", "refused", "axes that are paired have the same length",
               lambda sample: isinstance(sample.kwargs["dims"], (tuple, list))),
    Difference("fmax fmin", "gradient", "equal elements share the gradient", has_ties_or_nan),
    Difference("atan2 logaddexp", "gradient", "PyTorch has NaN at infinities, ours the limit", is_not_finite),
    Difference("hypot", "gradient", "PyTorch has NaN at infinities and where both are 0", has_zeros_or_infinities),
    Difference("nn.functional.silu nn.functional.softsign", "value", "PyTorch has NaN at infinities", is_not_finite),
    Difference("sign sgn", "value", "PyTorch's sign of NaN is 0", is_not_finite),
    Difference("index_copy", "gradient", "PyTorch's gradient of a value that another overwrites is not 0",
               lambda sample: len(sample.args[1].unique()) < len(sample.args[1])),
    Difference("pow float_power tan", "gradient", dtypes="float16",
               reason="a derivative too large for half precision, though its product with the cotangent is not"),
    Difference("linalg.pinv|singular", "value", dtypes="float32",
               reason="NumPy's default rcond of 1e-15 takes the rounding of single precision for rank"),
    Difference("nn.functional.group_norm nn.functional.layer_norm nn.functional.batch_norm", "refused",
               "eps is not negative", lambda sample: sample.kwargs.get("eps", 0) < 0),
    Difference("nn.functional.batch_norm", "refused", "a momentum is from 0 to 1", argument("momentum", -1.0, -1.2)),
    Difference("float_power", "value", "keeps NumPy's dtype, where PyTorch computes in double", dtypes="float16"),
    Difference("addmv addbmm baddbmm", "value", "PyTorch rounds factors of integers", dtypes="int64"),
    Difference("nn.functional.hardtanh", "value", "PyTorch rounds bounds of integers", dtypes="int64"),
    Difference("addr masked_fill", "value", "PyTorch keeps booleans, NumPy counts with them", dtypes="bool"),
    Difference("nn.functional.max_pool2d nn.functional.avg_pool2d", "refused", "takes floating images", dtypes="int64"),
    Difference("reciprocal", "value", "NumPy's is that of integers", dtypes="int64 bool"),
    Difference("__rpow__", "refused", "NumPy refuses negative powers of integers", dtypes="int64"),
    Difference("sign sgn sigmoid", "refused", "NumPy has no sign or opposite of booleans", dtypes="bool"),
    Difference("cov", "value gradient", "PyTorch computes with weights of single precision in single precision",
               lambda sample: sample.kwargs.get("aweights") is not None),
]

NARROWED = "cut by a slice, which takes any bounds"
BROADCAST = "NumPy broadcasts what PyTorch refuses"
# What PyTorch refuses and ours takes, and why.
ACCEPTED = {
    "gradient": "NumPy takes a single spacing for several axes",
    "kthvalue": NARROWED,
    "narrow": NARROWED,
    "narrow_copy": NARROWED,
    "roll": BROADCAST,
    "index_add": BROADCAST,
    "masked_fill": BROADCAST,
    "linalg.cross": "NumPy broadcasts, and takes vectors of two elements",
    "scatter_add": "dtypes are promoted",
    "nn.functional.conv2d": "dtypes are promoted",
    "mean": "the mean of integers is a float, as NumPy's",
    "trace": "NumPy's trace is that of the first two axes",
    "tril": "NumPy makes a matrix of a vector",
    "triu": "NumPy makes a matrix of a vector",
    "t": "the transpose of any number of axes",
    "t_copy": "the transpose of any number of axes",
    "nn.functional.embedding": "rows of a table may have any shape",
    "nn.functional.hardtanh": "a clip, of which NumPy applies the upper bound last",
    "nn.functional.huber_loss": "ours is smooth_l1_loss, which takes a beta of 0",
}


# Of these operations PyTorch has gradients by other inputs than the first, which are constants for ours.
CONSTANT_BESIDES_THE_FIRST = ("nn.functional.cross_entropy", "cov", "quantile")

# How PyTorch's functions are called where that is not as the samples have it.
CALLS = {"linalg.pinv|hermitian": lambda a, hermitian: torch.linalg.pinv(a + a.mT, hermitian=hermitian)}

# What of PyTorch's results is compared: vectors of decompositions without their signs, indices not at all.
RESULTS = {
    "linalg.eigh": lambda result: (result[0], result[1].abs()),
    "linalg.svd": lambda result: thin(*result),
    "svd": lambda result: thin(result[0], result[1], result[2].mH),
}


def thin(u, s, vh):
    k = s.shape[-1]
    return u[..., :k].abs(), s, vh[..., :k, :].abs()


def fresh(x, dtype=None):
    """A leaf in the layout of a tensor of a sample, in `dtype` if it is floating."""
    if not isinstance(x, torch.Tensor):
        return x
    x_new = x.detach() if dtype is None or not x.is_floating_point() else x.detach().to(dtype)
    return x_new.requires_grad_(x.requires_grad)


def tensors_of(x):
    if isinstance(x, dict):
        return tensors_of(list(x.values()))
    if isinstance(x, (list, tuple)):
        return [tensor for part in x for tensor in tensors_of(part)]
    return [x] if isinstance(x, torch.Tensor) else []


def parts_of(sample):
    return [sample.input, sample.args, sample.kwargs]


def is_comparable(sample):
    """Whether there are tensors in it, not too large, of dtypes that NumPy has, and real."""
    tensors = tensors_of(parts_of(sample))
    return bool(tensors) and all(
        x.numel() <= LARGEST and not x.is_complex() and x.dtype is not torch.bfloat16 for x in tensors
    )


class Comparison:
    """Of a sample: results, gradients of a random cotangent, and gradients of a random part of those.

    Args:
        layout: of the arrays that ours gets, see `laid_out`.
        exact: a dtype in which PyTorch computes instead of that of the sample.
    """

    def __init__(self, name, sample, layout=0, exact=None, tolerance=1e-8):
        self.name, self.sample, self.tolerance = name, sample.transform(fresh), tolerance
        floating = [str(x.dtype) for x in tensors_of(parts_of(sample)) if x.is_floating_point() or exact is None]
        self.precision = floating[0].removeprefix("torch.") if floating else "float64"
        if name in CONSTANT_BESIDES_THE_FIRST:
            for x in tensors_of(parts_of(self.sample)[1:]):
                x.requires_grad_(False)
        self.rng, self.stage, self.leaves = np.random.default_rng(0), "refused", []
        arguments = translated(parts_of(self.sample), self.leaves, layout)
        if exact is not None:
            self.sample = self.sample.transform(lambda x: fresh(x, exact))
            wide = [x for x in tensors_of(parts_of(self.sample)) if x.requires_grad]
            self.leaves = [(ours, theirs) for (ours, _), theirs in zip(self.leaves, wide, strict=True)]
        self.dtype = self.leaves[0][0].dtype if self.leaves else None
        self.first, (self.args, self.kwargs) = arguments[0], arguments[1:]

    def complaint(self, orders=2):
        """What is wrong, or None; `stage` then says where."""
        sample = self.sample
        call = CALLS.get(self.name, OPERATIONS[self.name].op)
        try:
            theirs = call(sample.input, *sample.args, **sample.kwargs)
        except RuntimeError:
            return None  # PyTorch refuses its own sample
        if theirs is NotImplemented:
            return None
        theirs = flat(RESULTS.get(self.name, lambda results: results)(theirs))
        try:
            ours = flat(TABLE[self.name](self.first, *self.args, **self.kwargs))
            self.stage = "value"
            return self.compared(ours, theirs, orders)
        except (ValueError, TypeError, IndexError, RuntimeError, AssertionError, np.linalg.LinAlgError) as error:
            return f"{type(error).__name__}: {error}"

    def compared(self, ours, theirs, orders):
        theirs = theirs[: len(ours)]  # without the indices that PyTorch's extremes and sorts have besides
        theirs = [x if isinstance(x, torch.Tensor) else torch.tensor(x) for x in theirs]
        for x, y in zip(ours, theirs, strict=True):
            found = difference(array_of(x), rounded(array_of(y), array_of(x).dtype), self.tolerance)
            if found:
                return found
        pairs = [(x, y) for x, y in zip(ours, theirs, strict=True) if y.requires_grad]
        for stage in ("gradient", "second")[:orders]:
            if not (pairs and self.leaves):
                return None
            self.stage = stage
            pairs, found = self.differentiated(pairs)
            if found:
                return found
        return None

    def differentiated(self, pairs):
        """The gradients of both with respect to all inputs, as pairs to go on with, and what is wrong with ours."""
        cotangents = [self.rng.standard_normal(y.shape).astype(self.dtype) for _, y in pairs]
        wrt = [y for _, y in self.leaves]
        seeds = [torch.tensor(c, dtype=y.dtype) for c, (_, y) in zip(cotangents, pairs, strict=True)]
        try:
            theirs = torch.autograd.grad([y for _, y in pairs], wrt, seeds, create_graph=True, allow_unused=True)
        except RuntimeError:
            return [], None  # a derivative that PyTorch does not have
        for x, _ in self.leaves:
            x.grad = None
        for (x, _), cotangent in zip(pairs, cotangents, strict=True):
            if isinstance(x, mg.Tensor) and x.requires_grad:  # else theirs have to be zero
                x.backward(cotangent, create_graph=True)
        ours = [x.grad for x, _ in self.leaves]
        undefined = [is_undefined(array_of(x), array_of(y)) for x, y in pairs]
        for (x, _), mine, other in zip(self.leaves, ours, theirs, strict=True):
            mine, other = gradient_or_zeros(x, mine), rounded(gradient_or_zeros(x, other), x.dtype)
            found = difference(mine, other, self.tolerance, meaningless(undefined, other))
            if found:
                return [], found
        pairs = [(x, y) for x, y in zip(ours, theirs, strict=True) if y is not None and y.requires_grad]
        return pairs, None


def is_undefined(ours, theirs):
    """Where a result is NaN, or too large for its dtype, so that gradients say nothing."""
    return np.isnan(theirs) | (np.isinf(ours) & np.isfinite(theirs))


def meaningless(undefined, gradient):
    """Where a gradient says nothing: at undefined results, or everywhere if shapes do not tell which is whose."""
    if not any(where.any() for where in undefined):
        return None
    return undefined[0] if undefined[0].shape == gradient.shape else True


def rounded(array, dtype):
    """`array` in the floating dtype of what it is compared with: what is too large for that becomes infinite."""
    return array.astype(dtype) if dtype.kind == "f" and array.dtype.kind == "f" else array


def check(comparisons, orders=2):
    """Compare, and fail with all complaints that no entry of `DIFFERENCES` explains."""
    failures, count = [], 0
    for comparison in comparisons:
        count += 1
        complaint = comparison.complaint(orders)
        if complaint and not explained(comparison):
            failures.append(f"{comparison.stage} of {comparison.sample.summary()}: {complaint}")
    assert not failures, f"{len(failures)} of {count} samples differ\n" + "\n".join(failures[:6])


def explained(comparison):
    return any(
        comparison.name in known.operations.split() and comparison.stage in known.stage.split()
        and comparison.precision in known.dtypes.split() and known.when(comparison.sample)
        for known in DIFFERENCES
    )


def samples(name, function, dtype, most, step=1):
    op = OPERATIONS[name]
    if dtype not in op.dtypes:
        return
    torch.manual_seed(0)
    gradients = dtype.is_floating_point and op.supports_autograd
    drawn = getattr(op, function)("cpu", dtype, requires_grad=gradients)
    try:
        yield from filter(is_comparable, itertools.islice(drawn, 0, most, STEPS.get(name, step)))
    except (ValueError, RuntimeError):
        return  # some generators of samples of PyTorch have faults of their own


BINARY = {
    "atan2", "clamp_max", "clamp_min", "fmax", "fmin", "hypot", "logaddexp", "max|binary", "maximum", "min|binary",
    "minimum",
}


def error_samples(name):
    """What PyTorch refuses, but for numbers in place of tensors, which are the same to us."""
    for error in OPERATIONS[name].error_inputs_func(OPERATIONS[name], "cpu"):
        sample = error.sample_input
        operands = (sample.input, *sample.args) if name in BINARY else (sample.input,)
        if is_comparable(sample) and not any(isinstance(x, (int, float)) for x in operands):
            yield sample


@pytest.mark.parametrize("name", [name for name, op in OPERATIONS.items() if op.error_inputs_func])
def test_what_pytorch_refuses_is_refused(name):
    for sample in error_samples(name) if name not in ACCEPTED else ():
        with pytest.raises((ValueError, TypeError, IndexError, RuntimeError, ZeroDivisionError, AttributeError)):  # noqa: PT012
            first, args, kwargs = translated(parts_of(sample), [])
            TABLE[name](first, *args, **kwargs)


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_and_gradients_of_first_and_second_order_are_those_of_pytorch_in_all_layouts(name):
    drawn = samples(name, "sample_inputs", torch.float64, 1500)
    check((Comparison(name, sample, i % 3) for i, sample in enumerate(drawn)))


@pytest.mark.parametrize("name", OPERATIONS)
def test_values_and_gradients_are_those_of_pytorch_for_its_reference_inputs(name):
    drawn = samples(name, "reference_inputs", torch.float64, 150, 6)
    check((Comparison(name, sample) for sample in drawn), orders=1)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_values_and_gradients_of_lower_precision_are_those_of_pytorch_in_double_to_rounding(name, dtype):
    drawn = samples(name, "sample_inputs", getattr(torch, dtype), 12)
    tolerance = 64 * float(np.finfo(dtype).eps)
    check((Comparison(name, s, 0, torch.float64, tolerance) for s in drawn), orders=1)


@pytest.mark.parametrize("dtype", ["int64", "bool"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_values_of_integers_and_booleans_are_those_of_pytorch(name, dtype):
    drawn = samples(name, "sample_inputs", getattr(torch, dtype), 12)
    tolerance = 1e-2 if dtype != "int64" else 1e-5  # NumPy computes with half precision there
    check((Comparison(name, sample, tolerance=tolerance) for sample in drawn), orders=0)
