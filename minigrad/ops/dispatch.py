"""NumPy's own functions on tensors: `np.exp(t)` is `minigrad.exp(t)`, `array + t` is a tensor."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import Signature, signature
from itertools import takewhile
from typing import Any

import numpy as np

from minigrad.arrays import read_only
from minigrad.ops import arithmetic, compositions, products, reductions, shape, steps
from minigrad.ops.registry import operations, twins
from minigrad.tensor import Tensor, TensorLike, as_tensor, value, wrap
from minigrad.trees import leaves, rebuilt


def duplicate(a: TensorLike) -> Tensor:
    """A copy that passes its gradient on."""
    return arithmetic.astype(a, as_tensor(a).dtype)


twins.update({  # other names that NumPy has for the same
    np.amax: reductions.max, np.amin: reductions.min, np.around: steps.round, np.copy: duplicate,
    np.conjugate: duplicate, np.real: duplicate,  # of reals
    np.linalg.matmul: products.matmul, np.linalg.tensordot: products.tensordot, np.linalg.outer: products.outer,
    np.linalg.matrix_transpose: shape.matrix_transpose, np.linalg.cross: compositions.cross,
})

# functions that answer with plain arrays, numbers or texts, which carry no gradient
PLAIN = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.array_equal, np.array_equiv, np.allclose, np.isclose,
    np.argmax, np.argmin, np.argsort, np.argpartition, np.argwhere, np.nonzero, np.flatnonzero, np.count_nonzero,
    np.searchsorted, np.digitize, np.lexsort, np.any, np.all, np.isin, np.isposinf, np.isneginf, np.shares_memory,
    np.nanargmax, np.nanargmin, np.isreal, np.iscomplex, np.isrealobj, np.iscomplexobj, np.may_share_memory,
    np.tril_indices_from, np.triu_indices_from, np.linalg.matrix_rank, np.einsum_path,
    np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.array2string, np.array_repr, np.array_str,
}


def array_ufunc(self: Tensor, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """Called by NumPy for a ufunc with a tensor among its operands."""
    if method != "__call__":
        return array_function(self, getattr(ufunc, method), (), inputs, options)
    if options:
        written_so = "; for array += x write array = array + x" if "out" in options else ""
        raise TypeError(no_keyword(ufunc.__name__, next(iter(options))) + written_so)
    if ufunc in twins:
        return twins[ufunc](*inputs)
    answers = [types[-1] for types in ufunc.types if "O" not in types]
    if set(answers) == {"?"}:  # a comparison or another predicate
        return ufunc(*map(value, inputs))
    if steps.needs_gradient(*inputs):
        raise TypeError(not_differentiable(ufunc.__name__))
    results = ufunc(*map(value, inputs))
    if not answers:  # a function of objects, that `np.frompyfunc` made
        return results
    return tuple(map(wrap, results)) if isinstance(results, tuple) else wrap(results)


def array_function(
    self: Tensor, function: Callable[..., Any], types: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Called by NumPy for any of its other functions with a tensor among its arguments."""
    if function is np.where and len(args) == 1:
        function = np.nonzero
    if function in twins:
        operation = twins[function]
        return operation(*args) if len(args) == 1 and not kwargs else call(operation, function, args, kwargs)
    given = leaves([args, kwargs])
    if function not in PLAIN and steps.needs_gradient(*given):
        raise TypeError(not_differentiable(name_of(function)))
    args, kwargs = rebuilt([args, kwargs], [read_only(x.data) if isinstance(x, Tensor) else x for x in given])
    try:
        return function(*args, **kwargs)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        sentence = f"numpy.{name_of(function)} would change a tensor behind the graph's back: {FUNCTIONAL}"
        raise TypeError(sentence) from None


def name_of(function: Callable[..., Any]) -> str:
    """What NumPy calls a function, or a method of one of its ufuncs."""
    owner = getattr(function, "__self__", None)
    return f"{owner.__name__}.{function.__name__}" if isinstance(owner, np.ufunc) else function.__name__


@cache
def signature_of(function: Callable[..., Any]) -> Signature:
    """The signature of a function; an unspecific one if Python cannot tell, as for some of older NumPy versions."""
    try:
        return signature(function)
    except ValueError:
        return signature(lambda *args, **kwargs: None)


def call(operation: Callable[..., Any], function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call `operation` with arguments given as NumPy's `function` takes them: by its names, in its order."""
    theirs = signature_of(function).parameters
    ours = [name for name, p in signature_of(operation).parameters.items() if p.kind is not p.VAR_POSITIONAL]
    # The first names of NumPy's that are not ours stand for ours in their place: np.clip's `a` is our `x`.
    renamed = dict(takewhile(lambda names: names[0] not in ours, zip(theirs, ours, strict=False)))
    positional: tuple[Any, ...] = ()
    keywords: dict[str, Any] = {}
    for name, given in signature_of(function).bind(*args, **kwargs).arguments.items():
        parameter = theirs[name]
        if parameter.kind is parameter.POSITIONAL_ONLY:
            positional = (*positional, given)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            positional, keywords = (*positional, *keywords.values(), *given), {}  # what precedes *args has no name
        elif parameter.kind is parameter.VAR_KEYWORD:
            keywords.update(given)
        elif name in ours or name in renamed:
            keywords[renamed.get(name, name)] = given
        elif type(given) is not type(parameter.default) or given != parameter.default:
            keywords[name] = given
    for name in keywords:
        if name not in ours:
            raise TypeError(no_keyword(name_of(function), name))
    return operation(*positional, **keywords)


FUNCTIONAL = "write x = put(x, index, value), or hand it x.numpy().copy()"
WITHOUT_GRADIENT = "x.detach().numpy() if no gradient should flow through it"


def not_differentiable(name: str) -> str:
    """The sentence for a NumPy function that has no operation here."""
    return f"numpy.{name} is not differentiable here: apply it to {WITHOUT_GRADIENT}"


def no_keyword(name: str, keyword: str) -> str:
    """The sentence for an argument that the operation does not take."""
    return f"numpy.{name} on tensors takes no {keyword}=: leave it out, or apply it to {WITHOUT_GRADIENT}"


def dlpack(self: Tensor, **options: Any) -> Any:
    """The value for other libraries' `from_dlpack`, sharing memory. A tensor that requires gradients is refused."""
    if self.requires_grad:
        raise TypeError("a tensor that requires gradients does not silently become an array: use .detach() or .numpy()")
    return self.numpy().__dlpack__(**options)


# what a tensor answers with that of its value, and what to write in place of what the graph would not notice
READ = {"tolist", "tobytes", "nonzero", "searchsorted", "argpartition", "nbytes", "itemsize", "strides", "device"}
INSTEAD = {
    "sort": "x = minigrad.sort(x)", "partition": "x = minigrad.sort(x)", "put": "x = minigrad.put(x, index, values)",
    "fill": "x = 0 * x + value, or x.data = numpy.full(x.shape, value)", "resize": "x = x.reshape(shape)",
    "view": "x.reshape(shape), or x.astype(dtype)", "flat": "x.ravel()",
    "setfield": "x = minigrad.put(x, index, values)",
    "real": "x, which is real", "conj": "x, which is real", "conjugate": "x, which is real", "imag": "0 * x",
}


class Missing:
    """In place of an attribute that a thing does not have: an AttributeError that says what to do.

    One for each name, and not one `__getattr__`: with that, Python looks up every attribute the slow way.
    """

    def __init__(self, thing: str, name: str, instead: str) -> None:
        self.thing, self.name, self.instead = thing, name, instead

    def __get__(self, owner: Any, kind: type) -> Any:
        raise AttributeError(f"a {self.thing} has no {self.name}: {self.instead}", name=self.name, obj=owner)


def no_mask(tensor: Tensor) -> Any:
    """What numpy.ma asks for, about to take the value of a tensor without its graph."""
    raise TypeError("a masked array and a tensor do not mix: pass x.filled(value), or minigrad.where(mask, ...)")


def answer_for_arrays() -> None:
    """Have tensors answer to every public name of an array, and to those of operations that are no methods."""
    for name in READ:
        setattr(Tensor, name, property(reader(name)))
    for name in {*dir(np.ndarray), *operations}:
        if name.isidentifier() and name[0] != "_" and not hasattr(Tensor, name):
            other = f"minigrad.{name}(x)" if name in operations else f"x.numpy().{name}, which carries no gradient"
            setattr(Tensor, name, Missing("tensor", name, f"write {INSTEAD.get(name, other)}"))


def reader(name: str) -> Callable[[Tensor], Any]:
    """What gives an attribute of a tensor's array."""
    return lambda tensor: getattr(tensor.numpy(), name)


Tensor._mask = property(no_mask)  # type: ignore[attr-defined]
setattr(Tensor, "copy", duplicate)  # noqa: B010
Tensor.__array_ufunc__ = array_ufunc
Tensor.__array_function__ = array_function
Tensor.__dlpack__ = dlpack
Tensor.__dlpack_device__ = lambda self: self.numpy().__dlpack_device__()
