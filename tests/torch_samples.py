"""PyTorch's sample database in terms of ours: what its arguments are called here, and how results are compared.

`TABLE` has a function for each operation that both have, by PyTorch's name of it. It takes PyTorch's arguments, with
tensors of ours for floating ones and arrays for others, and calls ours with NumPy's arguments.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import linalg
from nn import functional as F

# ------------------------------------------------------------------------------------------------ comparing


@dataclass
class Difference:
    """What is allowed to differ from PyTorch, and why: of these operations, at this stage, in samples of a kind."""

    operations: str
    stage: str
    reason: str
    when: Callable[[Any], bool] = lambda sample: True
    dtypes: str = "float64 float32 float16 int64 bool"


def array_of(x):
    """The value of a tensor of ours, of one of PyTorch, or of anything else, as an array."""
    if hasattr(x, "detach") and not isinstance(x, mg.Tensor):
        return x.numpy(force=True)
    return np.asarray(x.data) if isinstance(x, mg.Tensor) else np.asarray(x)


def laid_out(array, layout):
    """The same values in another layout: as they are, with negative strides, or every other element of a larger one."""
    if layout == 1:
        return np.flip(np.flip(array).copy())
    if layout == 2:
        wide = np.zeros([2 * n for n in array.shape], array.dtype)
        wide[(slice(None, None, 2),) * array.ndim] = array
        return wide[(slice(None, None, 2),) * array.ndim]
    return array


def translated(x, leaves, layout=0):
    """Arguments of PyTorch for ours; of tensors that require gradients (ours, theirs) is added to `leaves`."""
    if hasattr(x, "detach"):
        array = laid_out(array_of(x), layout)
        if array.dtype.kind != "f":
            return array
        tensor = mg.as_tensor(array)
        if x.requires_grad:
            tensor.requires_grad = True
            leaves.append((tensor, x))
        return tensor
    if isinstance(x, dict):
        return {name: translated(part, leaves, layout) for name, part in x.items()}
    if isinstance(x, (list, tuple)):
        parts = [translated(part, leaves, layout) for part in x]
        return tuple(parts) if isinstance(x, tuple) else parts
    return x


def flat(results):
    return [leaf for part in results for leaf in flat(part)] if isinstance(results, (list, tuple)) else [results]


def difference(ours, theirs, tolerance, elsewhere=None):
    """What is wrong with `ours`, or None; both may be NaN, and elements where `elsewhere` is true do not matter."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if ours.shape != theirs.shape:
        return f"shape {ours.shape}, not {theirs.shape}"
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    scale = np.max(np.abs(theirs), initial=1, where=np.isfinite(theirs))
    with np.errstate(invalid="ignore"):
        fine = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)) | (np.abs(ours - theirs) <= tolerance * scale)
    if elsewhere is not None:
        fine |= elsewhere
    if fine.all():
        return None
    worst = np.unravel_index(np.argmin(fine), fine.shape)
    return f"{np.sum(~fine)} of {fine.size}, such as {ours[worst]} instead of {theirs[worst]} at {worst}"


def gradient_or_zeros(tensor, gradient):
    return np.zeros(tensor.shape) if gradient is None else array_of(gradient)


# ------------------------------------------------------------------------------------------------ arguments


def plain(x):
    """What is a constant for ours, though PyTorch's samples ask for its gradient."""
    return x.data if isinstance(x, mg.Tensor) else x


def axes(dim):
    return tuple(dim) if isinstance(dim, (list, tuple)) else dim


def reducing(function, empty_is_all=True):
    """PyTorch's reductions: dim and keepdim, and no dimensions at all as well as all."""
    def reduced(x, dim=None, keepdim=False, *, dtype=None):
        dim = axes(dim)
        dim = None if not x.ndim or (dim == () and empty_is_all) else dim
        return function(cast(x, dtype), axis=dim, keepdims=keepdim)

    return reduced


def cast(x, dtype):
    return x if dtype is None else mg.astype(x, numpy_dtype(dtype))


def numpy_dtype(dtype):
    return np.dtype(str(dtype).removeprefix("torch."))


def on_arrays(function):
    return lambda x, dim=None, keepdim=False: function(np.asarray(plain(x)), axis=axes(dim), keepdims=keepdim)


def spread_of(function):
    def reduced(x, dim=None, unbiased=True, keepdim=False, *, correction=None):
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        ddof = (1 if unbiased else 0) if correction is None else correction
        dim = axes(dim)
        return function(x, None if dim == () else dim, ddof=ddof, keepdims=keepdim)

    return reduced


def scaled(function):
    """PyTorch's sums scale what is added."""
    return lambda a, b, *, alpha=1: function(a, b if alpha == 1 else mg.multiply(b, alpha))


def div(a, b, rounding_mode=None):
    if rounding_mode is None:
        return mg.divide(a, b)
    return step(mg.floor_divide)(a, b) if rounding_mode == "floor" else step(mg.trunc)(mg.divide(a, b))


def step(function):
    """A function whose derivative is zero almost everywhere: ours refuses one."""
    return lambda *args: function(*(x.detach() if isinstance(x, mg.Tensor) else x for x in args))


def exchanged(function):
    return lambda a, b: function(b, a)


def clamp(x, min=None, max=None):
    return mg.clip(x, min, max)


def sizes(function):
    """PyTorch takes a shape as one argument or as several."""
    return lambda x, *shape: function(x, shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)


def expand(x, *shape):
    shape = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
    kept = (1,) * (len(shape) - x.ndim) + x.shape
    return mg.broadcast_to(x, tuple(m if n == -1 else n for n, m in zip(shape, kept, strict=True)))


def trapezoid(y, x=None, *, dx=1.0, dim=-1):
    return mg.trapezoid(y, x, dx, dim)


def permute(x, *dims):
    return mg.transpose(x, axes(dims[0]) if isinstance(dims[0], (tuple, list)) else dims)


def squeeze(x, dim=None):
    """PyTorch leaves axes of another length alone."""
    if dim is None:
        return mg.squeeze(x)
    given = dim if isinstance(dim, (tuple, list)) else (dim,)
    return mg.squeeze(x, tuple(d for d in given if x.shape[d] == 1)) if x.ndim else x


def split_by(x, size, dim=0):
    """PyTorch's split by the size of the parts."""
    if isinstance(size, (list, tuple)):
        return mg.split(x, np.cumsum(size)[:-1].tolist(), dim)
    return mg.split(x, list(range(size, x.shape[dim], size)), dim)


def unbind(x, dim=0):
    return list(mg.moveaxis(x, dim, 0))


def narrow(x, dim, start, length):
    start = int(start)
    start = start + x.shape[dim] if start < 0 else start
    return x[(slice(None),) * (dim % x.ndim) + (slice(start, start + length),)]


def select(x, dim, index):
    return x[(slice(None),) * (dim % x.ndim) + (index,)]


def tiled(x, *repeats):
    return mg.tile(x, repeats[0] if len(repeats) == 1 and not isinstance(repeats[0], int) else repeats)


def repeat_interleave(x, repeats, dim=None, *, output_size=None):
    return mg.repeat(x, repeats, dim)


def roll(x, shifts, dims=None):
    return mg.roll(x, axes(shifts), axes(dims) if dims != () else None)


def diagonal(x, offset=0, dim1=0, dim2=1):
    return mg.diagonal(x, offset, dim1, dim2)


def padded(x, pad, mode="constant", value=0):
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + [tuple(pad[i : i + 2]) for i in range(len(pad) - 2, -1, -2)]
    if mode == "circular":  # what is cut off is cut off first
        x = cut(x, pairs)
        pairs = [(max(a, 0), max(b, 0)) for a, b in pairs]
    names = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    fill = {"constant_values": value or 0} if mode == "constant" else {}
    return cut(mg.pad(x, [(max(a, 0), max(b, 0)) for a, b in pairs], names[mode], **fill), pairs)


def cut(x, pairs):
    """Without as many elements at the ends of each axis as negative numbers say."""
    return x[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, x.shape, strict=True))]


def take_along_dim(x, indices, dim=None):
    return mg.take_along_axis(x, indices.reshape(-1) if dim is None else indices, dim)


def gather(x, dim, index):
    index = np.asarray(index)
    if x.ndim == 0 or index.ndim == 0:
        return mg.reshape(mg.reshape(x, -1)[index.reshape(-1)], index.shape)
    grid = list(np.indices(index.shape, sparse=True))
    grid[dim] = index
    return x[tuple(grid)]


def index_select(x, dim, index):
    return mg.take(x, index, dim) if x.ndim else mg.reshape(mg.take(mg.reshape(x, -1), index), ())


def index_add(x, dim, index, source, *, alpha=1):
    if not x.ndim:
        return mg.reshape(index_add(mg.reshape(x, -1), 0, index, mg.reshape(source, -1), alpha=alpha), ())
    where = (slice(None),) * (dim % x.ndim) + (np.atleast_1d(index),)
    return mg.add_at(x, where, mg.multiply(source, alpha))


def index_put(x, indices, values, accumulate=False):
    indices = tuple(slice(None) if i is None else i for i in indices)
    return (mg.add_at if accumulate else mg.put)(x, indices, values)


def index_fill(x, dim, index, value):
    if not x.ndim:
        return mg.reshape(index_fill(mg.reshape(x, -1), 0, index, value), ())
    return mg.put(x, (slice(None),) * (dim % x.ndim) + (np.atleast_1d(index),), value)


def index_copy(x, dim, index, source):
    if not x.ndim:
        return mg.reshape(index_copy(mg.reshape(x, -1), 0, index, mg.reshape(source, -1)), ())
    return mg.put(x, (slice(None),) * (dim % x.ndim) + (np.atleast_1d(index),), source)


def scatter_add(x, dim, index, source):
    index = np.asarray(index)
    if not x.ndim or not index.ndim:
        flat = mg.add_at(mg.reshape(x, -1), (index.reshape(-1),), mg.reshape(source, -1)[: index.size])
        return mg.reshape(flat, x.shape)
    grid = list(np.indices(index.shape, sparse=True))
    grid[dim] = index
    return mg.add_at(x, tuple(grid), source[tuple(slice(n) for n in index.shape)])


def masked_select(x, mask):
    shape = np.broadcast_shapes(x.shape, mask.shape)
    return mg.broadcast_to(x, shape)[np.broadcast_to(mask, shape)]


def masked_fill(x, mask, value):
    return mg.where(mask, mg.astype(value, x.dtype) if isinstance(value, mg.Tensor) else value, x)


def sorted_values(x, dim=-1, descending=False, stable=False):
    if isinstance(dim, bool):
        dim, descending = -1, dim
    if not x.ndim:
        return x + 0
    return mg.flip(mg.sort(x, dim), dim) if descending else mg.sort(x, dim)


def argsorted(x, dim=-1, descending=False, stable=False):
    x = np.asarray(plain(x))
    if not x.ndim:
        return np.zeros((), int)
    if not descending:
        return np.argsort(x, dim, kind="stable")
    return x.shape[dim] - 1 - np.flip(np.argsort(np.flip(x, dim), dim, kind="stable"), dim)


def topk(x, k, dim=-1, largest=True, sorted=True):
    if not x.ndim:
        return x + 0
    return narrow(sorted_values(x, dim, largest), dim, 0, k)


def kthvalue(x, k, dim=-1, keepdim=False):
    if not x.ndim:
        return x + 0
    part = narrow(mg.sort(x, dim), dim, k - 1, 1)
    return part if keepdim else mg.squeeze(part, dim)


def softmax(x, dim, dtype=None):
    return mg.softmax(cast(x, dtype), dim)


def log_softmax(x, dim, dtype=None):
    return mg.log_softmax(cast(x, dtype), dim)


def softmin(x, dim, dtype=None):
    return mg.softmax(-cast(x, dtype), dim)


def along(function):
    """PyTorch takes axis 0 of a single number."""
    def result(x, dim=-1, *, dtype=None):
        x = cast(x, dtype)
        return function(x, dim) if x.ndim else mg.reshape(function(mg.reshape(x, -1), 0), ())

    return result


def tensordot(a, b, dims=2):
    dims = dims.tolist() if isinstance(dims, np.ndarray) else dims
    return mg.tensordot(a, b, dims)


def einsum(operands, equation):
    return mg.einsum(equation, *operands)


def addmm(c, a, b, *, beta=1, alpha=1):
    return (0 if beta == 0 else beta * c) + alpha * (a @ b)


def addbmm(c, a, b, *, beta=1, alpha=1):
    return beta * c + alpha * (a @ b).sum(0)


def addr(c, a, b, *, beta=1, alpha=1):
    return beta * c + alpha * mg.outer(a, b)


# ------------------------------------------------------------------------------------------------ linear algebra


def vector_norm(x, ord=2, dim=None, keepdim=False, *, dtype=None):
    x = cast(x, dtype)
    dim = None if dim == () or dim == [] or not x.ndim else axes(dim)
    if dim is None or (isinstance(dim, tuple) and len(dim) != 1):  # NumPy has no vector norm over several axes
        given = tuple(range(x.ndim)) if dim is None else tuple(d % max(x.ndim, 1) for d in dim)
        rest = [i for i in range(x.ndim) if i not in given]
        shape = [*(x.shape[i] for i in rest), math.prod(x.shape[i] for i in given)]
        out = linalg.norm(mg.transpose(x, (*rest, *given)).reshape(*shape), ord, -1)
        return out.reshape([1 if i in given else n for i, n in enumerate(x.shape)]) if keepdim else out
    return linalg.norm(x, ord, dim if isinstance(dim, int) else dim[0], keepdim)


def matrix_norm(x, ord="fro", dim=(-2, -1), keepdim=False, *, dtype=None):
    return linalg.norm(cast(x, dtype), ord, axes(dim), keepdim)


def norm(x, ord=None, dim=None, keepdim=False, *, dtype=None):
    x = cast(x, dtype)
    if dim is None and ord is None:
        return vector_norm(x, 2, None, keepdim)
    if dim is None:
        dim = (0, 1) if x.ndim == 2 else 0
    dim = axes(dim)
    dim = dim[0] if isinstance(dim, tuple) and len(dim) == 1 else dim
    return linalg.norm(x, ord, dim, keepdim)


def old_norm(x, p="fro", dim=None, keepdim=False, dtype=None):
    x = cast(x, dtype)
    if p == "nuc":
        return linalg.norm(x, "nuc", (0, 1) if dim is None else axes(dim), keepdim)
    return vector_norm(x, 2 if p == "fro" or p is None else p, dim, keepdim)


def cholesky(a, *, upper=False):
    return linalg.cholesky(a, upper=upper)


def svd(a, full_matrices=True, some=None, compute_uv=True):
    """Vectors without their signs, which are arbitrary, and without those that nothing determines."""
    u, s, vh = linalg.svd(a, full_matrices=False)
    return mg.abs(u), s, mg.abs(vh)


def qr(a, mode="reduced"):
    if mode == "r":
        return linalg.qr(a, mode="r")
    return tuple(linalg.qr(a))


def solve(a, b, *, left=True):
    if not left:
        return mg.matrix_transpose(solve(mg.matrix_transpose(a), mg.matrix_transpose(b)))
    if b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]):
        return mg.squeeze(linalg.solve(a, mg.expand_dims(b, -1)), -1)
    return linalg.solve(a, b)


def pinv(a, *, rcond=None, rtol=None, atol=None, hermitian=False):
    return linalg.pinv(a, rcond if rcond is not None else rtol)


# ------------------------------------------------------------------------------------------------ networks


def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    return batched(F.avg_pool2d, x, axes(kernel_size), axes(stride) or None, axes(padding), ceil_mode,
                   count_include_pad, divisor_override)


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    return batched(F.max_pool2d, x, axes(kernel_size), axes(stride) or None, axes(padding), axes(dilation), ceil_mode)


def batched(function, x, *args):
    """PyTorch takes single images too."""
    return mg.squeeze(function(mg.expand_dims(x, 0), *args), 0) if x.ndim == 3 else function(x, *args)


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return batched(F.conv2d, x, weight, bias, axes(stride), axes(padding), axes(dilation), groups)


def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    copies = (None if r is None else np.array(r) for r in (running_mean, running_var))
    return F.batch_norm(x, *copies, weight, bias, training, momentum, eps)


def huber_loss(x, y, reduction="mean", delta=1.0):
    return F.smooth_l1_loss(x, y, reduction, beta=delta) * delta


def dropout(function):
    return lambda x, p=0.5, training=True, inplace=False: function(x, p, training)


def normalize(x, p=2.0, dim=1, eps=1e-12):
    return x / mg.maximum(vector_norm(x, p, dim, True), eps)


def embedding(weight, x, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False, sparse=False):
    return F.embedding(x, weight, padding_idx)


def inplace(function):
    """PyTorch's activations have an argument that says where the result goes."""
    return lambda x, *args, inplace=False, **kwargs: function(x, *args, **kwargs)


def old(function):
    """PyTorch's losses have two deprecated arguments."""
    return lambda x, y, *args, size_average=None, reduce=None, **kwargs: function(x, y, *args, **kwargs)


def softplus(x, beta=1, threshold=20):
    return mg.softplus(x, beta)


def cov(x, *, correction=1, fweights=None, aweights=None):
    return mg.cov(x, ddof=correction, fweights=plain(fweights), aweights=plain(aweights))


def quantile(function):
    def result(x, q, dim=None, keepdim=False, *, interpolation="linear"):
        return function(x, plain(q), dim if x.ndim else None, method=interpolation, keepdims=keepdim)

    return result


def gradient(x, *, spacing=None, dim=None, edge_order=1):
    given = [] if spacing is None else list(spacing) if isinstance(spacing, (list, tuple)) else [spacing]
    return mg.gradient(x, *given, axis=axes(dim), edge_order=edge_order)


def diff(x, n=1, dim=-1, prepend=None, append=None):
    ends = {"prepend": prepend, "append": append}
    return mg.diff(x, n, dim, **{name: end for name, end in ends.items() if end is not None})


def at_least(function):
    return lambda x, *more: [function(y) for y in x] if isinstance(x, (list, tuple)) else function(x)


def mean_beside(function):
    """PyTorch's var_mean and std_mean."""
    def result(x, dim=None, unbiased=True, keepdim=False, *, correction=None):
        over = None if isinstance(dim, bool) or dim == () else axes(dim)
        spread = spread_of(function)(x, dim, unbiased, keepdim, correction=correction)
        return spread, mg.mean(x, over, keepdims=keepdim)

    return result


def unfold(x, dim, size, step):
    windows = mg.sliding_window_view(x if x.ndim else mg.reshape(x, 1), size, dim)
    if not x.ndim:
        return windows[0]
    return windows[(slice(None),) * (dim % x.ndim) + (slice(None, None, step),)]


def cond(a, p=None):
    if p is None or p in (2, -2):
        s = linalg.svd(a, compute_uv=False)
        return s[..., -1] / s[..., 0] if p == -2 else s[..., 0] / s[..., -1]
    return linalg.norm(a, p, (-2, -1)) * linalg.norm(linalg.inv(a), p, (-2, -1))


def eigh(a, UPLO="L"):
    values, vectors = linalg.eigh(a, UPLO)
    return values, mg.abs(vectors)


def logit(x, eps=None):
    x = x if eps is None else mg.clip(x, eps, 1 - eps)
    return mg.log(x / (1 - x))


def cat(tensors, dim=0):
    """PyTorch leaves out what has no elements and one axis."""
    return mg.concatenate([x for x in tensors if x.shape != (0,)] or tensors, dim)


# ------------------------------------------------------------------------------------------------ the table

SAME = """abs cos cosh deg2rad rad2deg exp exp2 expm1 erf erfc log log10 log1p log2 positive reciprocal sigmoid sin sinc
sinh sqrt square tan tanh hypot maximum minimum fmax fmin logaddexp logaddexp2 remainder matmul dot inner outer ravel
fliplr flipud tril triu diag vdot kron vstack hstack dstack column_stack hsplit vsplit dsplit corrcoef nan_to_num
true_divide trace"""
RENAMED = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atanh": "arctanh",
    "neg": "negative", "atan2": "arctan2", "pow": "power", "float_power": "power", "max|binary": "maximum",
    "min|binary": "minimum", "mul": "multiply", "mm": "matmul", "bmm": "matmul", "mv": "matmul",
    "transpose": "swapaxes", "transpose_copy": "swapaxes", "movedim": "moveaxis", "unsqueeze": "expand_dims",
    "unsqueeze_copy": "expand_dims", "broadcast_to": "broadcast_to", "tensor_split": "array_split", "take": "take",
    "max|reduction_no_dim": "max", "min|reduction_no_dim": "min",
}
ELEMENTWISE = {
    "add": scaled(mg.add),
    "sub": scaled(mg.subtract),
    "rsub": lambda a, b, *, alpha=1: b - alpha * a,
    **{f"div|{mode}": div for mode in ("no_rounding_mode", "floor_rounding", "trunc_rounding")},
    **{f"__r{name}__": exchanged(getattr(mg, ours)) for name, ours in {
        "add": "add", "mul": "multiply", "sub": "subtract", "div": "divide", "pow": "power", "matmul": "matmul",
        "mod": "remainder",
    }.items()},
    "rsqrt": lambda x: 1 / mg.sqrt(x),
    **{name: step(getattr(mg, name)) for name in ("sign", "ceil", "floor", "trunc", "floor_divide")},
    "sgn": step(mg.sign),
    "frac": lambda x: x - step(mg.trunc)(x),
    **{f"round{variant}": lambda x, *, decimals=0: step(mg.round)(x, decimals)
       for variant in ("", "|decimals_0", "|decimals_3", "|decimals_neg_3")},
    **{name: getattr(operator, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    "clamp": clamp,
    "clamp_min": clamp,
    "clamp_max": lambda x, max: mg.clip(x, None, max),
    "where": lambda x, condition, y: mg.where(condition, x, y),
    "lerp": lambda a, b, weight: a + weight * (b - a),
    "addcmul": lambda x, a, b, *, value=1: x + value * a * b,
    "addcdiv": lambda x, a, b, *, value=1: x + value * a / b,
    "logit": logit,
    "clone": lambda x, memory_format=None: x + 0,
    "contiguous": lambda x, memory_format=None: x + 0,
}
REDUCTIONS = {
    "sum": reducing(mg.sum), "mean": reducing(mg.mean), "prod": reducing(mg.prod, False),
    "amax": reducing(mg.max), "amin": reducing(mg.min), "nansum": reducing(mg.nansum),
    "nanmean": reducing(mg.nanmean), "logsumexp": reducing(mg.logsumexp),
    "max|reduction_with_dim": reducing(mg.max), "min|reduction_with_dim": reducing(mg.min),
    "aminmax": lambda x, **settings: (reducing(mg.min)(x, **settings), reducing(mg.max)(x, **settings)),
    **{f"{name}{variant}": spread_of(getattr(mg, name)) for name in ("var", "std") for variant in ("", "|unbiased")},
    **{f"{name}_mean{variant}": mean_beside(getattr(mg, name))
       for name in ("var", "std") for variant in ("", "|unbiased")},
    "softmax": softmax, "softmax|with_dtype": softmax, "log_softmax": log_softmax,
    "log_softmax|with_dtype": log_softmax, "nn.functional.softmin": softmin,
    "nn.functional.softmin|with_dtype": softmin, "cumsum": along(mg.cumsum), "cumprod": along(mg.cumprod),
    "cummax": along(np.maximum.accumulate), "cummin": along(np.minimum.accumulate),
    **{name: on_arrays(getattr(np, name)) for name in ("argmax", "argmin", "any", "all")},
    "quantile": quantile(mg.quantile), "cov": cov, "trapz": trapezoid, "trapezoid": trapezoid, "diff": diff,
    "gradient": gradient, "linalg.vecdot": lambda a, b, *, dim=-1: mg.sum(a * b, dim),
}
SHAPES = {
    "reshape": sizes(mg.reshape), "view": sizes(mg.reshape), "view_copy": sizes(mg.reshape),
    "reshape_as": lambda x, y: mg.reshape(x, y.shape), "view_as": lambda x, y: mg.reshape(x, y.shape),
    "flatten": lambda x, start_dim=0, end_dim=-1: F.flatten(x, start_dim, end_dim) if x.ndim else mg.ravel(x),
    "permute": permute, "permute_copy": permute, "T": mg.transpose, "t": mg.transpose, "t_copy": mg.transpose,
    "mT": mg.matrix_transpose, "squeeze": squeeze, "squeeze|multiple": squeeze, "squeeze_copy": squeeze,
    "expand": expand, "expand_copy": expand, "expand_as": lambda x, y: mg.broadcast_to(x, y.shape),
    "broadcast_tensors": lambda *xs: [mg.broadcast_to(x, np.broadcast_shapes(*[y.shape for y in xs])) for x in xs],
    "cat": cat, "stack": lambda tensors, dim=0: mg.stack(tensors, dim),
    **dict.fromkeys(
        ("split", "split|list_args", "split_with_sizes", "split_with_sizes_copy", "unsafe_split"), split_by),
    "unbind": unbind, "unbind_copy": unbind, "narrow": narrow, "narrow_copy": narrow, "select": select,
    "tile": tiled, "repeat": tiled, "repeat_interleave": repeat_interleave, "roll": roll,
    "flip": lambda x, dims: mg.flip(x, axes(dims)), "rot90": lambda x, k=1, dims=(0, 1): mg.rot90(x, k, axes(dims)),
    "diagonal": diagonal, "diagonal_copy": diagonal,
    "linalg.diagonal": lambda A, *, offset=0, dim1=-2, dim2=-1: mg.diagonal(A, offset, dim1, dim2),
    "constant_pad_nd": lambda x, pad, value=0: padded(x, pad, "constant", value),
    **{f"nn.functional.pad|{mode}": padded for mode in (
        "constant", "reflect", "replicate", "replicate_negative", "circular")},
    "unfold": unfold, "meshgrid|variadic_tensors": lambda *xs, indexing="ij": mg.meshgrid(*xs, indexing=indexing),
    "meshgrid|list_of_tensors": lambda xs, indexing="ij": mg.meshgrid(*xs, indexing=indexing),
    **{f"atleast_{n}d": at_least(getattr(mg, f"atleast_{n}d")) for n in (1, 2, 3)},
}
INDICES = {
    "__getitem__": mg.getitem, "gather": gather, "take_along_dim": take_along_dim, "index_select": index_select,
    "index_add": index_add, "index_put": index_put, "index_fill": index_fill, "index_copy": index_copy,
    "scatter_add": scatter_add, "masked_select": masked_select, "masked_fill": masked_fill, "sort": sorted_values,
    "msort": lambda x: mg.sort(x, 0), "topk": topk, "kthvalue": kthvalue, "argsort": argsorted,
}
PRODUCTS = {
    "tensordot": tensordot, "einsum": einsum, "linalg.multi_dot": linalg.multi_dot,
    **dict.fromkeys(("addmm", "addmm|decomposed", "addmv", "baddbmm"), addmm), "addbmm": addbmm, "addr": addr,
    "cross": lambda a, b, dim=-1: mg.cross(a, b, axis=dim),
    "linalg.cross": lambda a, b, *, dim=-1: mg.cross(a, b, axis=dim),
    "linalg.det": linalg.det, "linalg.slogdet": linalg.slogdet, "logdet": lambda a: linalg.slogdet(a).logabsdet,
    "linalg.inv": linalg.inv, "linalg.solve": solve, "linalg.cholesky": cholesky,
    "linalg.matrix_power": linalg.matrix_power,
    "cholesky": lambda a, upper=False: linalg.cholesky(a, upper=upper),
    "cholesky_inverse": lambda l, upper=False: linalg.inv(l.mT @ l if upper else l @ l.mT),
    "linalg.qr": qr, "qr": lambda a, some=True: qr(a), "linalg.eigh": eigh,
    "linalg.eigvalsh": lambda a, UPLO="L": linalg.eigh(a, UPLO).eigenvalues, "linalg.svd": svd, "svd": svd,
    "linalg.svdvals": lambda a: linalg.svd(a, compute_uv=False), "linalg.pinv": pinv,
    "linalg.pinv|hermitian": lambda a, hermitian: pinv(a + a.mT),
    "linalg.pinv|singular": lambda a, b: pinv(a @ b.mT), "pinverse": lambda a, rcond=1e-15: pinv(a, rcond=rcond),
    "linalg.norm": norm, "linalg.norm|subgradients_at_zero": norm, "linalg.vector_norm": vector_norm,
    "linalg.matrix_norm": matrix_norm, "norm": old_norm, "norm|fro": old_norm, "norm|nuc": old_norm,
    "norm|inf": old_norm, "linalg.cond": cond,
}
NETWORKS = {
    **{name: inplace(getattr(F, name)) for name in ("relu", "leaky_relu", "elu", "silu")}, "gelu": F.gelu,
    "softplus": softplus, "softsign": mg.softsign, "hardtanh": inplace(mg.hardtanh),
    "relu6": lambda x, inplace=False: mg.hardtanh(x, 0.0, 6.0), "logsigmoid": lambda x: -F.softplus(-x),
    "tanhshrink": lambda x: x - mg.tanh(x),
    **{name: old(getattr(F, name)) for name in (
        "cross_entropy", "nll_loss", "mse_loss", "l1_loss", "smooth_l1_loss", "binary_cross_entropy_with_logits")},
    "huber_loss": huber_loss, "layer_norm": F.layer_norm, "group_norm": F.group_norm, "batch_norm": batch_norm,
    "conv2d": conv2d, "max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d,
    "adaptive_avg_pool2d": lambda x, size: batched(F.adaptive_avg_pool2d, x, axes(size)),
    "adaptive_max_pool2d": lambda x, size, return_indices=False: batched(F.adaptive_max_pool2d, x, axes(size)),
    "linear": F.linear, "embedding": embedding, "normalize": normalize, "dropout": dropout(F.dropout),
    "dropout2d": dropout(F.dropout2d),
}

TABLE = {name: getattr(mg, name) for name in SAME.split()} | {name: getattr(mg, ours) for name, ours in RENAMED.items()}
TABLE |= ELEMENTWISE | REDUCTIONS | SHAPES | INDICES | PRODUCTS
TABLE |= {f"nn.functional.{name}": function for name, function in NETWORKS.items()}
