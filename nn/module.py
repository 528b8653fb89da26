"""Modules: plain objects whose attributes are parameters, buffers and other modules."""

from __future__ import annotations

import threading
from collections import ChainMap, UserDict, UserList, deque
from collections.abc import Iterable, Iterator, Mapping, MappingView
from contextlib import contextmanager
from dataclasses import is_dataclass
from itertools import chain
from reprlib import recursive_repr
from types import MappingProxyType, NoneType, SimpleNamespace, UnionType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from minigrad import Tensor, TensorLike
from minigrad.allocator import keep_freed_memory
from minigrad.arrays import check_no_more_than_elements
from minigrad.graph import watches
from minigrad.guards import libraries
from minigrad.notebook import shown_by
from minigrad.ops.dispatch import Missing

libraries.add(__name__.partition(".")[0])  # a line of this package is not the user's


class Parameter(Tensor):
    """A tensor that a module owns and an optimizer updates: it requires gradients unless told otherwise."""

    __slots__ = ()

    def __init__(self, data: TensorLike, requires_grad: bool = True, dtype: npt.DTypeLike | None = None) -> None:
        super().__init__(data, requires_grad=requires_grad, dtype=dtype)


class Module:
    """The base of all layers and models.

    Assign as attributes `Parameter`s, ndarrays (buffers: saved, not trained), modules, or lists, tuples and dicts of
    these, nested as you like, and write `forward`. All of it is found by walking the attributes in the order they were
    assigned, and has the names of PyTorch's `ParameterList`, `ModuleList` and `ModuleDict`: `blocks.0.weight`,
    `heads.left.bias`. Attributes whose names start with an underscore are left alone.

    What is found under several names is one thing: it is given once, by the first of them, unless all names are asked
    for by `remove_duplicate=False` of `named_parameters` and the like. A module that holds itself, or one that it is
    part of, is not looked into again.

    Raises:
        TypeError: when looked through, if a parameter or module is in a container without names for what it holds, such
            as a set, or a part has a name that is no string or has dots in it.

    >>> class Scale(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter([1.0, 2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Scale()([3.0, 3.0])
    tensor([3., 6.], dtype=float64, operation=multiply)
    """

    training = True
    frozen = False  # see `freeze`

    def forward(self, *inputs: Any) -> Any:
        """What the module computes; call the module itself instead."""
        raise TypeError(f"{type(self).__name__} defines no forward()")

    def __call__(self, *inputs: Any, **named_inputs: Any) -> Any:
        if watches:
            with running(self):
                return self.forward(*inputs, **named_inputs)
        return self.forward(*inputs, **named_inputs) if named_inputs else self.forward(*inputs)

    # ---------------------------------------------------------------- what it consists of

    def _own(self, kind: type | UnionType) -> Iterator[tuple[str, Any]]:
        """(dotted name, part) of each part of this kind in the attributes, not in the modules below."""
        attributes = {name: attribute for name, attribute in vars(self).items() if not name.startswith("_")}
        found = parts(attributes, type(self).__name__)
        return ((".".join(path), part) for path, part in found if isinstance(part, kind))

    def _all(
        self, kind: type | UnionType, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """(dotted name, part) of each part of this kind, in this module and with `recurse` in those below."""
        modules = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        found = ((joined(path, name), part) for path, module in modules for name, part in module._own(kind))
        return by_first_name(found) if remove_duplicate else found

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of each module that is an attribute or in the containers that are."""
        return by_first_name(self._own(Module))

    def children(self) -> Iterator[Module]:
        """The modules that are attributes or in the containers that are."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) of this module, whose name is `prefix`, and of all modules below it.

        `memo` has the ids of modules to leave out; without `remove_duplicate` those on the way to this one.
        """
        memo = set() if memo is None else memo
        if id(self) in memo:
            return
        memo.add(id(self))
        yield prefix, self
        for name, child in self._own(Module):
            yield from child.named_modules(memo, joined(prefix, name), remove_duplicate)
        if not remove_duplicate:
            memo.remove(id(self))

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """This module and all modules below it."""
        return (module for _, module in self.named_modules(None, "", remove_duplicate))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) of this module, whose name is `prefix`, and with `recurse` of all below it."""
        return self._all(Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters of this module, and with `recurse` of all modules below it."""
        return (parameter for _, parameter in self.named_parameters("", recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        """(dotted name, array) of what is saved with the model but not trained, as for `named_parameters`."""
        return self._all(np.ndarray, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[npt.NDArray[Any]]:
        """The arrays that are saved but not trained, of this module and with `recurse` of all modules below it."""
        return (buffer for _, buffer in self.named_buffers("", recurse))

    def num_parameters(self) -> int:
        """How many numbers the parameters have, frozen or not."""
        return sum(parameter.size for parameter in self.parameters())

    # ---------------------------------------------------------------- modes

    def train(self, mode: bool = True) -> Self:
        """Set training mode (dropout drops, batch norm uses the batch) here and below; returns the module.

        What is frozen stays in evaluation mode, and a module with a `train` of its own answers for all below it.
        """
        keep_freed_memory()  # batches are about to come, and without gradients no backward pass asks for it
        answered: set[int] = set()
        for module in self.modules():
            if id(module) in answered:
                continue
            if module is self or getattr(module.train, "__func__", None) is Module.train:
                module.training = mode and not module.frozen
            else:
                answered.update(map(id, module.modules()))
                module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode here and below; returns the module."""
        return self.train(False)

    def freeze(self, frozen: bool = True) -> Self:
        """Train this module and all below it no longer: evaluation mode, whatever `train` says, and no gradients.

        `freeze(False)` ends that, and leaves the mode to the next `train`. An optimizer takes the parameters that
        require gradients, so freeze before it is made and give it `[p for p in model.parameters() if p.requires_grad]`.
        """
        for module in self.modules():
            module.frozen = frozen
        for parameter in self.parameters():
            parameter.requires_grad = not frozen
        return self.eval() if frozen else self

    @contextmanager
    def in_mode(self, training: bool) -> Iterator[None]:
        """Inside, training or evaluation mode holds here and below; then each module is in the mode it was in before.

        >>> module = Module()
        >>> with module.in_mode(training=False):
        ...     print(module.training)
        False
        >>> module.training
        True
        """
        modes = [(module, module.training) for module in self.modules()]
        try:
            self.train(training)
            yield
        finally:
            for module, mode in modes:
                module.training = mode

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill the existing ones with zeros."""
        for parameter in self.parameters():
            grad = parameter.grad
            parameter.grad = None if set_to_none or grad is None else Tensor(np.zeros_like(grad.data))

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Whether the parameters here and below are trained; returns the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    # ---------------------------------------------------------------- saving and loading

    def state_dict(
        self, *, destination: dict[str, npt.NDArray[Any]] | None = None, prefix: str = ""
    ) -> dict[str, npt.NDArray[Any]]:
        """Copies of all parameters and buffers by dotted name; what is shared is there under each of its names.

        Args:
            destination: what to add them to; a dict of their own if None.
            prefix: put before each name.
        """
        state = {} if destination is None else destination
        state |= {prefix + name: p.numpy().copy() for name, p in self.named_parameters(remove_duplicate=False)}
        state |= {prefix + name: array.copy() for name, array in self.named_buffers(remove_duplicate=False)}
        return state

    def load_state_dict(self, state_dict: Mapping[str, npt.ArrayLike], strict: bool = True) -> Unmatched:
        """Copy values into the parameters and buffers of the same names; nothing is written unless everything fits.

        Args:
            state_dict: arrays by dotted name, as from `state_dict`; rounded to the dtypes of this module. Of the names
                of one thing, one is enough.
            strict: whether names that are missing or unknown are an error.

        Returns:
            The names that are missing and those that are unknown.

        Raises:
            TypeError: if it is no mapping.
            ValueError: one sentence that lists what is missing, unknown, of another shape, no array of numbers, beyond
                what the dtype here can hold, or given twice with different values.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"a state is a dict of arrays by name, got a {type(state_dict).__name__}")
        own = dict(self._all(Parameter | np.ndarray, remove_duplicate=False))
        new = {name: as_array(name, array) for name, array in state_dict.items()}
        first = {id(target): name for name, target in reversed(own.items()) if name in new}
        missing = [name for name, target in own.items() if id(target) not in first]
        unknown = [name for name in new if name not in own]
        faults = [f"{name} {fault}" for name, target in own.items()
                  if name in new and (fault := obstacle(new[name], target))]
        if strict:
            faults += [f"{name} is missing" for name in missing]
            faults += [f"{name} is unknown to the model" for name in unknown]
        if not faults:
            same = ((name, first[id(target)]) for name, target in own.items() if name in new)
            faults = [f"{name} differs from {other}, which is the same array here"
                      for name, other in same if not np.array_equal(new[name], new[other], equal_nan=True)]
        if faults:
            raise ValueError(f"the state does not fit this {type(self).__name__}: {', '.join(faults)}")
        for name in first.values():
            target = own[name]
            if isinstance(target, Parameter):
                target.data = new[name].astype(target.dtype)
            else:
                target[...] = new[name]
        return Unmatched(missing, unknown)

    # ---------------------------------------------------------------- how it is shown

    def summary(self, input_shape: tuple[int, ...], dtype: npt.DTypeLike = np.float32) -> str:
        """A table of all layers for one sample of this shape, see `nn.summary.summary`."""
        from nn.summary import summary  # which imports this file

        return summary(self, input_shape, dtype)

    def extra_repr(self) -> str:
        """What a layer shows of its settings, between the brackets of its repr."""
        return ""

    _repr_html_ = shown_by("nn.displays", "module_html")

    @recursive_repr("...")
    def __repr__(self) -> str:
        count = self.num_parameters()
        total = f"  # {count:,} parameters" if count else ""
        children = [f"  ({name}): {child!r}".replace("\n", "\n  ") for name, child in self._own(Module)]
        if not children:
            return f"{type(self).__name__}({self.extra_repr()}){total}"
        return "\n".join([f"{type(self).__name__}({self.extra_repr()}{total}", *children, ")"])


FIXED_DTYPE = "give layers their dtype when they are made, as in nn.Linear(3, 2, dtype=np.float64)"
ON_CPU = f"leave it out, all is on the CPU; {FIXED_DTYPE}"
HOOK = "write a module whose forward does something before or after it calls this one"
INSTEAD = {  # of methods of PyTorch's modules
    "add_module": "write self.name = module", "register_module": "write self.name = module",
    "register_parameter": "write self.name = nn.Parameter(array)",
    "register_buffer": "write self.name = array, or self._name = array if it is not to be saved",
    "apply": "write for module in model.modules(): function(module)",
    "get_submodule": "write dict(model.named_modules())[name]",
    "get_parameter": "write dict(model.named_parameters())[name]",
    "register_forward_hook": HOOK, "register_forward_pre_hook": HOOK,
    "register_full_backward_hook": f"{HOOK}, and register_hook on a tensor there",
    "to": ON_CPU, "cuda": ON_CPU, "cpu": ON_CPU,
    "half": FIXED_DTYPE, "float": FIXED_DTYPE, "double": FIXED_DTYPE,
}

for _name, _instead in INSTEAD.items():
    setattr(Module, _name, Missing("module", _name, _instead))


class Paths(threading.local):
    """The names of all modules below the outermost one that runs in this thread, by their ids."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}


paths = Paths()


@contextmanager
def running(module: Module) -> Iterator[None]:
    """Have what is recorded know that it belongs to `module`, by its path below the outermost one that runs."""
    from minigrad.recording import scope  # only where somebody records, who has imported it

    is_outermost = not paths.names
    if is_outermost:
        paths.names = {id(part): name for name, part in module.named_modules()}
    try:
        with scope(paths.names.get(id(module), type(module).__name__)):
            yield
    finally:
        if is_outermost:
            paths.names = {}


def as_array(name: str, value: npt.ArrayLike) -> npt.NDArray[Any]:
    """What a state has under a name, as an array; ValueError if it is none."""
    try:
        check_no_more_than_elements(value, "a state")
        return np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:  # of lists of different lengths, of tensors with gradients
        raise ValueError(f"{name} cannot be made an array: {error}") from error


def obstacle(array: npt.NDArray[Any], target: Parameter | npt.NDArray[Any]) -> str:
    """What keeps an array from being copied into a parameter or buffer; empty if nothing does."""
    if array.shape != target.shape:
        return f"has shape {array.shape} instead of {target.shape}"
    if isinstance(target, np.ndarray) and not target.flags.writeable:
        return "is a read-only array here"
    if array.dtype.kind not in "biuf" and array.dtype != target.dtype:
        return f"has dtype {array.dtype}"
    return "" if can_hold(target.dtype, array) else f"has numbers that {target.dtype} cannot hold"


def can_hold(dtype: np.dtype[Any], array: npt.NDArray[Any]) -> bool:
    """Whether a dtype has all that is in an array, rounded if it is floating.

    >>> can_hold(np.dtype(np.float32), np.array([0.1, 1e30])), can_hold(np.dtype(int), np.array([0.1]))
    (True, False)
    """
    if array.dtype == dtype:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
        return not (np.isinf(cast) != np.isinf(array) if dtype.kind == "f" else cast != array).any()


class Unmatched(NamedTuple):
    """The names of a model that a state lacks, and those of the state that the model lacks."""

    missing_keys: list[str]
    unexpected_keys: list[str]


# ------------------------------------------------------------------------------------------------ the walk

PLAIN = {NoneType, bool, int, float, str}  # has nothing in it; known at a glance, since most attributes are settings


def parts(container: Any, where: str, outer: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(keys and positions on the way, part) of each parameter, array and module in nested lists, tuples and dicts.

    Args:
        container: what to look into.
        where: what it is called in an error.
        outer: the containers it is in, which are not looked into again.
    """
    for key, item in entries(container):
        if type(item) in PLAIN or (outer and any(item is other for other in outer)):
            continue
        is_part = isinstance(item, (Parameter, Module, np.ndarray))
        found: Iterable[tuple[tuple[str, ...], Any]] = [((), item)] if is_part else []
        if not is_part or (isinstance(item, np.ndarray) and item.dtype == object):
            found = chain(found, parts(item, f"{where}.{key}", (*outer, item)))
        for path, part in found:
            if key is ... and isinstance(part, np.ndarray):
                continue
            if key is ...:
                raise TypeError(f"{where} is a {type(container).__name__} with a {type(part).__name__} in it, where a "
                                "model does not find it: keep it in a list, tuple or dict, or begin the name of the "
                                "attribute with an underscore if it is not part of the model")
            if not isinstance(key, str) or not key or "." in key:
                raise TypeError(f"{where} has a {type(part).__name__} under the name {key!r}: parts of a model have "
                                "strings without dots as names")
            yield (key, *path), part


def entries(container: Any) -> list[tuple[Any, Any]]:
    """(key or position, item) of what is in a container; the key is `...` if it has none to give."""
    if isinstance(container, dict):
        return list(container.items())
    if isinstance(container, (list, tuple)):
        return [(str(i), item) for i, item in enumerate(container)]
    return [(..., item) for item in nameless(container)]


def nameless(container: Any) -> Any:
    """An iterable of what is in a container that a model takes no names from; empty if it is no container."""
    if isinstance(container, np.ndarray):
        return container.flat if container.dtype == object else ()
    if isinstance(container, (UserDict, ChainMap, MappingProxyType)):
        return container.values()
    if isinstance(container, (set, frozenset, deque, UserList, MappingView)):
        return container
    is_record = isinstance(container, SimpleNamespace) or is_dataclass(type(container))
    return getattr(container, "__dict__", {}).values() if is_record else ()


def joined(prefix: str, name: str) -> str:
    """A dotted name."""
    return f"{prefix}.{name}" if prefix else name


def by_first_name(named: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Of what is shared and so has several names, the first alone."""
    seen: set[int] = set()
    for name, attribute in named:
        if id(attribute) not in seen:
            seen.add(id(attribute))
            yield name, attribute
