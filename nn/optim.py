"""Optimizers, which change parameters in place by their gradients, and the clipping of gradients.

Names, arguments, defaults and update rules are PyTorch's, except for Muon: it takes parameters that are no matrices
too, with `betas` and `eps` of AdamW, and always scales its steps like PyTorch's with `adjust_lr_fn="match_rms_adamw"`.
PyTorch's choices between implementations (`foreach`, `fused`, `capturable`, `differentiable`) do not exist, since there
is one; nor does a `closure` of `step`, or `decoupled_weight_decay` of Adam, which is AdamW.
An optimizer is one method: `update` changes one parameter.
All but Muon work through memory that is allocated once, since a step is a large part of the cost of training a small
network.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from functools import partial
from itertools import chain
from typing import Any, ClassVar, TypeAlias

import numpy as np

from minigrad.arrays import Array
from minigrad.tensor import Tensor, wrap
from nn.files import plain
from nn.functional.settings import Check, each, is_list, one_of, real, whole
from nn.state import OfTraining

Group: TypeAlias = dict[str, Any]
State: TypeAlias = dict[str, Any]
Parameters: TypeAlias = Iterable[Tensor] | Iterable[Group]

BLOCK = 1 << 18  # elements, see `Optimizer.descend`
GRAM_STEPS = 5  # of `orthogonalized`: after more of them, what rounding makes of singular values of 0 would be large
NEXT_WIDER = (np.float16, np.float32), (np.float32, np.float64), (np.float64, np.longdouble)
WIDER: dict[Any, Any] = {narrow: wide for narrow, wide in NEXT_WIDER if np.dtype(narrow) != np.dtype(wide)}
# settings without use here, the last four of PyTorch's schedules
OF_PYTORCH = {
    "foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay", "param_names",
    "max_lr", "min_lr", "max_momentum", "base_momentum",
}


class Optimizer(OfTraining):
    """What all optimizers share: parameter groups, the state of each parameter, saving and loading it.

    A subclass hands its default settings to `__init__`, names the arrays it keeps for each parameter in `state_arrays`,
    and defines `update`; `decoupled` says that `weight_decay` stays out of gradients. The settings of a group may be
    changed between steps: `param_groups[0]["lr"] = 0.01`.

    Parameters in half precision are updated, and what is remembered of them is kept, in single precision, where steps
    and squares are neither 0 nor infinite. So is a parameter in the next wider dtype once its gradient is so large that
    a square overflows: beyond about 1e19 in float32. PyTorch's Adagrad stands still for ever there, its Adam
    and RMSprop do from a few times 1e20 on.

    Args:
        params: tensors, or dicts `{"params": tensors, "lr": 0.01, ...}` with settings of their own.
        defaults: the settings of groups that do not name theirs. All have `maximize`, which turns gradients round.

    Raises:
        TypeError: if a parameter is not a tensor.
        ValueError: if there are no parameters, one comes twice, is not a leaf or requires no gradients, or a setting is
            unknown or out of range.

    >>> class SignDescent(Optimizer):
    ...     def update(self, p, grad, state, group):
    ...         self.descend(p, np.sign(grad, out=self.scratch(p, 1)), group["lr"])
    >>> w = Tensor([1.0, -2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> SignDescent([w], {"lr": 0.5}).step()
    >>> w
    tensor([ 0.5, -1.5], dtype=float64, requires_grad=True)
    """

    state_arrays: ClassVar[frozenset[str]] = frozenset()
    decoupled: ClassVar[bool] = False
    CHECKS: ClassVar[Mapping[str, Check]] = {  # of settings; others are for the subclass that has them to check
        "betas": each(partial(real, least=0, below=1), 2), "dampening": partial(real, above=-math.inf, below=math.inf),
        **dict.fromkeys(
            ["lr", "initial_lr", "momentum", "weight_decay", "eps", "alpha", "lr_decay", "initial_accumulator_value"],
            partial(real, least=0, below=math.inf),
        ),
        **dict.fromkeys(["nesterov", "maximize", "amsgrad", "centered"], partial(one_of, choices=(False, True))),
    }

    def __init__(self, params: Parameters, defaults: Mapping[str, Any]) -> None:
        self.defaults = {"maximize": False, **defaults}
        self.param_groups: list[Group] = []
        self.state: defaultdict[Tensor, State] = defaultdict(dict)
        self._memory: dict[tuple[Any, int], Array] = {}  # by dtype and number, as large as the largest parameter
        self._views: dict[tuple[Tensor, int], Array] = {}  # of that, in the shape of each parameter
        entries: list[Any] = given_in_order(params)
        if not entries:
            raise ValueError(f"{type(self).__name__} got an empty list of parameters: there is nothing to optimize")
        for group in entries if isinstance(entries[0], Mapping) else [{"params": entries}]:
            self.add_param_group(group)

    def add_param_group(self, param_group: Mapping[str, Any]) -> None:
        """Optimize more parameters: `{"params": tensors}` and any settings that differ from the defaults."""
        if not isinstance(param_group, Mapping) or "params" not in param_group:
            raise ValueError(f"a parameter group is a dict with the key 'params', got {param_group!r:.80}")
        if unknown := set(param_group) - {"params", "initial_lr"} - set(self.defaults):
            raise ValueError(f"{type(self).__name__} has no setting {unknown.pop()!r}, it has {[*self.defaults]}")
        given = param_group["params"]
        params = [given] if isinstance(given, Tensor) else given_in_order(given)
        seen = set(self._params())
        for p in params:
            check_parameter(p)
            if not (p.is_leaf and p.requires_grad) or p in seen:
                fault = "is given twice" if p in seen else "requires no gradients" if p.is_leaf else "is no leaf"
                raise ValueError(f"a parameter of shape {p.shape} {fault}, so it cannot be optimized")
            seen.add(p)
        settings = {name: setting for name, setting in param_group.items() if name != "params"}
        group = plain(self.defaults | settings) | {"params": params}
        self.check(group)
        self.param_groups.append(group)

    def check(self, group: Group) -> None:
        """Raise ValueError if a setting is out of range; numbers become plain ones, and several a tuple of them."""
        for name, setting in group.items():
            if name in self.CHECKS:
                found = self.CHECKS[name](type(self).__name__, name, setting)
                group[name] = tuple(found) if isinstance(found, list) else found

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or fill them with zeros, before the next backward pass adds to them.

        A parameter without a gradient is left alone by `step`, one with a gradient of zeros still moves by momentum.
        """
        for p in self._params():
            p.grad = None if set_to_none or p.grad is None else wrap(np.zeros_like(p.grad.data))

    def step(self) -> None:
        """Update every parameter that has a gradient; ValueError if that is no tensor of the parameter's shape."""
        for group in self.param_groups:
            for p in group["params"]:
                if (gradient := gradient_of(p)) is not None:
                    grad = -gradient.data if group["maximize"] else gradient.data
                    try:
                        if grad.dtype.type is np.float16:
                            raise TooLarge
                        self.update(p, grad, self.state[p], group)
                    except TooLarge:
                        self.update_wide(p, grad, group)

    def update_wide(self, p: Tensor, grad: Array, group: Group) -> None:
        """Update a copy of `p` in the next wider dtype, and round that to `p`."""
        wide = Tensor(p.data, dtype=WIDER.get(p.dtype.type, p.dtype))
        self.update(wide, grad.astype(wide.dtype), self.state[p], group)
        # Views of the copy would keep it, and nobody will ask for them again.
        self._views = {key: view for key, view in self._views.items() if key[0] is not wide}
        array = p.numpy()
        array[...] = wide.data
        p.data = array

    def update(self, p: Tensor, grad: Array, state: State, group: Group) -> None:
        """Change `p.data` in place by its gradient, which stays as it is, and by what `state` remembers.

        What squares the gradient does so by `fitting`, before it has changed anything: then all can be done again.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define update()")

    def scratch(self, p: Tensor, number: int = 0) -> Array:
        """Working memory of the shape and dtype of `p`, shared by all parameters: it lasts until the next update.

        `descend` works in number 0, and `decayed` returns number 1.
        """
        view = self._views.get((p, number))
        if view is None:
            memory = self._memory.get((p.dtype, number))
            if memory is None or memory.size < p.size:
                memory = np.empty(max(other.size for other in self._params()), p.dtype)
                self._memory[p.dtype, number] = memory
            view = self._views[p, number] = memory[: p.size].reshape(p.shape)
        return view

    def descend(self, p: Tensor, direction: Array, lr: float) -> None:
        """p.data -= lr * direction, which has the shape of `p` or is broadcast to it.

        What is large goes row by row, or some rows at a time, through the same small part of the working memory: to
        touch all of that would push out of the cache what the next step needs, a twentieth of a whole step's time.
        """
        array, scratch = p.data, self.scratch(p)
        if array.size <= BLOCK:
            array -= np.multiply(direction, lr, out=scratch)
        else:
            rows, direction = max(1, BLOCK * len(array) // array.size), np.broadcast_to(direction, array.shape)
            for start in range(0, len(array), rows):
                part = array[start : start + rows]
                part -= np.multiply(direction[start : start + rows], lr, out=scratch[: len(part)])
        p.data = array

    def decayed(self, p: Tensor, grad: Array, group: Group) -> Array:
        """The gradient with that of the penalty weight_decay / 2 · |p|² added, in working memory number 1."""
        if not group["weight_decay"]:
            return grad
        total = np.multiply(p.data, group["weight_decay"], out=self.scratch(p, 1))
        total += grad
        return total

    def state_dict(self) -> dict[str, Any]:
        """A copy of all settings and states, in plain numbers and arrays; parameters are numbered in their order.

        Layout, names and quantities are PyTorch's, whose optimizers load it once its arrays are tensors.
        """
        number = {p: i for i, p in enumerate(self._params())}
        groups = [{**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups]
        states = {number[p]: deepcopy(state) for p, state in self.state.items() if state}
        return {"state": states, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where the optimizer was whose `state_dict` this is; nothing is changed unless all of it fits.

        A state of PyTorch's optimizer of the same name, on the CPU, is taken as it is, but for Muon, which has settings
        of its own.

        Raises:
            ValueError: if groups, settings or states are not those of this optimizer and its parameters.
        """
        if not isinstance(state_dict, Mapping) or set(state_dict) != {"state", "param_groups"}:
            given = [*state_dict] if isinstance(state_dict, Mapping) else f"a {type(state_dict).__name__}"
            raise ValueError(f"the state of an optimizer has the keys 'state' and 'param_groups', got {given}")
        entries, saved_groups = state_dict["state"], state_dict["param_groups"]
        if not (isinstance(entries, Mapping) and isinstance(saved_groups, list | tuple)
                and all(isinstance(each, Mapping) for each in (*entries.values(), *saved_groups))):
            raise ValueError("the state of an optimizer is a dict of dicts by number, and its parameter groups are a "
                             f"list of dicts, got {entries!r:.40} and {saved_groups!r:.40}")
        groups = [self._own_settings(group) for group in saved_groups]
        sizes, own = ([len(group.get("params", ())) for group in each] for each in (groups, self.param_groups))
        if sizes != own:
            raise ValueError(f"the state is of parameter groups of the sizes {sizes}, but this optimizer has {own}")
        for group in groups:
            if set(group) - {"initial_lr"} != {"params", *self.defaults}:
                raise ValueError(f"the state has the settings {[*group]}, but this optimizer has {[*self.defaults]}")
            self.check(group)
        numbers = chain.from_iterable(group["params"] for group in groups)
        params = {str(number): p for number, p in zip(numbers, self._params(), strict=True)}
        if len(params) < sum(sizes):
            raise ValueError("the state gives two parameters the same number")
        states: defaultdict[Tensor, State] = defaultdict(dict)
        for number, state in entries.items():  # from JSON, the numbers come back as strings
            if str(number) not in params:
                raise ValueError(f"the state is of a parameter number {number}, but there are only {len(params)}")
            p = params[str(number)]
            states[p] = {name: self._checked(name, entry, p) for name, entry in state.items()}
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update(saved | {"params": group["params"]})
        self.state = states

    def _own_settings(self, group: Mapping[str, Any]) -> Group:
        """The settings of a saved group without those that choose between PyTorch's implementations."""
        if group.get("decoupled_weight_decay", self.decoupled) != self.decoupled:
            raise ValueError(f"the state decays weights in another way than {type(self).__name__}: Adam, or AdamW")
        own: Group = plain({name: setting for name, setting in group.items() if name not in OF_PYTORCH})
        if isinstance(own.get("lr"), float) and -1e-12 < own["lr"] < 0:  # PyTorch's linear schedules may end there
            own["lr"] = 0.0
        return {"maximize": False, **own}  # older files do not name it

    def _checked(self, name: str, entry: Any, p: Tensor) -> Any:
        """One entry of the state of a parameter: a copy of an array, or the number of steps."""
        if name in self.state_arrays:
            array = np.asarray(entry).copy()
            if array.shape != p.shape or array.dtype.kind != "f":
                raise ValueError(f"{name} is {array.dtype} of shape {array.shape}, but its parameter has {p.shape}")
            dtypes = [array.dtype] if hasattr(entry, "dtype") else []  # lists, from JSON, do not tell
            with np.errstate(over="ignore"):
                narrow = array.astype(np.result_type(p.dtype, np.float32, *dtypes), copy=False)
            return narrow if np.isfinite(narrow).all() else array
        if name != "step":
            kind, own = type(self).__name__, ", ".join(sorted(self.state_arrays)) or "nothing"
            raise ValueError(f"{kind} keeps no state {name!r}, only {own}: it is of another optimizer or version")
        step = real(type(self).__name__, name, entry, 0, below=math.inf)  # PyTorch counts in a tensor of float32
        if step % 1:
            raise ValueError(f"step is how many there were, got {step}")
        return int(step)

    def _params(self) -> Iterable[Tensor]:
        return chain.from_iterable(group["params"] for group in self.param_groups)


class SGD(Optimizer):
    """Stochastic gradient descent, with heavy-ball momentum (Polyak, 1964) or Nesterov's (Sutskever et al., 2013).

    b = momentum · b + (1 - dampening) · g (at first b = g); p -= lr · b, or with Nesterov p -= lr · (g + momentum · b).

    Args:
        params: tensors, or dicts of tensors and settings.
        lr: learning rate.
        momentum: how much of the last step is kept: at least 0, and less than 1 for steps that do not grow.
        dampening: how much less of the gradient enters the momentum.
        weight_decay: strength of the penalty weight_decay / 2 · |p|².
        nesterov: look ahead along the momentum.
        maximize: climb instead.

    Raises:
        ValueError: if a setting is out of range, or Nesterov comes without momentum or with dampening.

    >>> w = Tensor([3.0], requires_grad=True)
    >>> optimizer = SGD([w], lr=0.25)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([1.5], dtype=float64, requires_grad=True)
    """

    state_arrays = frozenset(["momentum_buffer"])

    def __init__(
        self, params: Parameters, lr: float = 1e-3, momentum: float = 0.0, dampening: float = 0.0,
        weight_decay: float = 0.0, nesterov: bool = False, *, maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, defaults | {"nesterov": nesterov, "maximize": maximize})

    def check(self, group: Group) -> None:
        super().check(group)
        if group.get("nesterov") and (group["momentum"] == 0 or group["dampening"] != 0):
            given = f"momentum {group['momentum']} and dampening {group['dampening']}"
            raise ValueError(f"Nesterov needs a momentum above 0 and no dampening, got {given}")

    def update(self, p: Tensor, grad: Array, state: State, group: Group) -> None:
        lr, momentum = float(group["lr"]), group["momentum"]
        grad = self.decayed(p, grad, group)
        if momentum:
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = np.array(grad)
            else:
                buffer *= momentum
                rest = 1 - group["dampening"]
                buffer += grad if rest == 1 else np.multiply(grad, rest, out=self.scratch(p))
            if group["nesterov"]:
                self.descend(p, grad, lr)
                lr *= momentum
            grad = buffer
        self.descend(p, grad, lr)


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015, algorithm 1), and AMSGrad (Reddi et al., 2018).

    m = β₁ · m + (1 - β₁) · g and v = β₂ · v + (1 - β₂) · g² estimate the means of g and g²; after t steps
    p -= lr · m / (1 - β₁ᵗ) / (√(v / (1 - β₂ᵗ)) + eps).

    Args:
        params: tensors, or dicts of tensors and settings.
        lr: learning rate, about the largest change of an element in one step.
        betas: β₁ and β₂.
        eps: added to the root.
        weight_decay: strength of the penalty weight_decay / 2 · |p|², whose gradient is added to g.
        amsgrad: divide by the largest v so far.
        maximize: climb instead.

    Raises:
        ValueError: if a setting is out of range.

    >>> w = Tensor([3.0], requires_grad=True)
    >>> optimizer = Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> print(f"{w:.6f}")
    2.500000
    """

    state_arrays = frozenset(["exp_avg", "exp_avg_sq", "max_exp_avg_sq"])

    def __init__(
        self, params: Parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 0.0, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(params, defaults | {"maximize": maximize})

    def update(self, p: Tensor, grad: Array, state: State, group: Group) -> None:
        lr, (beta1, beta2), scratch = float(group["lr"]), group["betas"], self.scratch(p)
        if not self.decoupled:
            grad = self.decayed(p, grad, group)
        square = fitting(np.multiply, grad, grad, out=scratch)
        square *= 1 - beta2
        state["step"] = step = state.get("step", 0) + 1
        m, v = kept(state, "exp_avg", p), kept(state, "exp_avg_sq", p)
        v *= beta2
        v += square
        m *= beta1
        m += np.multiply(grad, 1 - beta1, out=scratch)
        if group["amsgrad"]:
            largest = kept(state, "max_exp_avg_sq", p)
            v = np.maximum(largest, v, out=largest)
        unbiased = math.sqrt(1 - beta2**step)
        root = np.sqrt(v, out=scratch)
        root += group["eps"] * unbiased
        change = np.divide(m, root, out=scratch)
        change *= lr * unbiased / (1 - beta1**step)
        array = p.data
        if self.decoupled and group["weight_decay"]:
            array *= 1 - lr * group["weight_decay"]
        array -= change
        p.data = array


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019): p *= 1 - lr · weight_decay before each update.

    Args:
        params, lr, betas, eps, amsgrad, maximize: as for `Adam`.
        weight_decay: what part of `p`, times the learning rate, is taken away at each step.

    Raises:
        ValueError: if a setting is out of range.

    >>> w = Tensor([3.0], requires_grad=True)
    >>> optimizer = AdamW([w], lr=0.5, weight_decay=0.2)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> print(f"{w:.6f}")
    2.200000
    """

    decoupled = True

    def __init__(
        self, params: Parameters, lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
        weight_decay: float = 1e-2, amsgrad: bool = False, *, maximize: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class Muon(AdamW):
    """Momentum whose direction is made orthogonal (Jordan et al., 2024) for matrices, `AdamW` for everything else.

    B = momentum · B + (1 - momentum) · g, and with Nesterov D = (1 - momentum) · g + momentum · B, otherwise D = B;
    then p *= 1 - lr · weight_decay and p -= lr · 0.2 · √max(rows, columns) · O, where O is D with all its singular
    values replaced by about 1: a step that is equally long in all directions, and longer in most than that of other
    optimizers. The factor makes its elements as large as those of AdamW's steps, so that one learning rate suits both
    (Liu et al., Muon is Scalable for LLM Training, 2025). A parameter with more than two axes is a matrix with the
    first axis as its rows; one with fewer than two is updated by AdamW.

    Args:
        params, lr, betas, eps: as for `AdamW`.
        weight_decay: what part of `p`, times the learning rate, is taken away at each step.
        momentum: how much of the last direction is kept, 0 to less than 1; `OneCycleLR` leaves it alone and cycles β₁.
        nesterov: look ahead along the momentum.
        ns_steps: how many steps of `orthogonalized` are taken.

    Raises:
        ValueError: if a setting is out of range.

    >>> w = Tensor([[3.0, 0.0], [0.0, 1.0]], requires_grad=True)
    >>> optimizer = Muon([w], lr=0.1, weight_decay=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> print(np.round(w.data, 2))
    [[2.98 0.  ]
     [0.   0.97]]
    """

    state_arrays = AdamW.state_arrays | {"momentum_buffer"}
    CHECKS: ClassVar[Mapping[str, Check]] = {
        **Optimizer.CHECKS, "momentum": partial(real, least=0, below=1), "ns_steps": partial(whole, least=0),
    }

    def __init__(
        self, params: Parameters, lr: float = 1e-3, weight_decay: float = 0.1, momentum: float = 0.95,
        nesterov: bool = True, ns_steps: int = 5, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": False}
        Optimizer.__init__(self, params, defaults | {"momentum": momentum, "nesterov": nesterov, "ns_steps": ns_steps})

    def update(self, p: Tensor, grad: Array, state: State, group: Group) -> None:
        if p.ndim < 2:
            super().update(p, grad, state, group)
            return
        lr = float(group["lr"])
        direction = kept(state, "momentum_buffer", p)
        fresh = np.multiply(grad, 1 - group["momentum"], out=self.scratch(p))
        direction *= group["momentum"]
        direction += fresh
        if group["nesterov"]:
            direction = fresh + group["momentum"] * direction
        matrix = direction.reshape(len(p), math.prod(p.shape[1:]))
        change = orthogonalized(matrix, group["ns_steps"]).reshape(p.shape)
        p.data *= 1 - lr * group["weight_decay"]
        self.descend(p, change, lr * 0.2 * math.sqrt(max(matrix.shape)))


def orthogonalized(matrix: Array, steps: int) -> Array:
    """A matrix with the same singular vectors, and all singular values that are not tiny between about 0.7 and 1.2.

    Each step maps every singular value s to 3.4445 s - 4.775 s³ + 2.0315 s⁵, which needs products of matrices only:
    X becomes P X, with P = 3.4445 I - 4.775 G + 2.0315 G² and G = X Xᵀ. So steps need only P and G, of the smaller of
    both sizes, and X itself, with its long rows, is multiplied in the end.

    Args:
        matrix: (rows, columns), floating.
        steps: after 5, singular values of less than about 0.002 of the matrix's norm are still smaller.

    Source: Newton–Schulz iteration with the coefficients of Jordan et al., Muon: An optimizer for hidden layers in
    neural networks, 2024, chosen for a steep start; it does not converge to 1, and need not.

    >>> np.round(np.linalg.svd(orthogonalized(np.diag([3.0, 2.0, 0.1]), steps=5)).S, 1)
    array([1.1, 1.1, 0.7])
    """
    if matrix.shape[0] > matrix.shape[1]:
        return orthogonalized(matrix.T, steps).T
    x = matrix.astype(np.result_type(matrix, np.float32))
    x /= np.abs(x).max(initial=0) or 1  # the square of what is left neither overflows nor vanishes
    x /= np.linalg.norm(x) or 1
    identity = np.eye(len(x), dtype=x.dtype)
    for left in range(steps, 0, -GRAM_STEPS):
        gram, product = x @ x.T, identity
        for _ in range(min(left, GRAM_STEPS)):
            factor = 3.4445 * identity - 4.775 * gram + 2.0315 * (gram @ gram)
            product = factor @ product
            gram = factor @ gram @ factor
        x = product @ x
    return x.astype(matrix.dtype, copy=False)


class RMSprop(Optimizer):
    """Gradients divided by the root of a moving mean of their squares (Tieleman and Hinton, 2012, lecture 6.5).

    v = alpha · v + (1 - alpha) · g²; p -= lr · g / (√v + eps). Centered, the variance replaces v (Graves, 2013).

    Args:
        params: tensors, or dicts of tensors and settings.
        lr: learning rate.
        alpha: how much of the last mean is kept.
        eps: added to the root.
        weight_decay: strength of the penalty weight_decay / 2 · |p|².
        momentum: how much of the last step is kept: at least 0, and less than 1 for steps that do not grow.
        centered: subtract the square of the mean gradient from v.
        maximize: climb instead.

    Raises:
        ValueError: if a setting is out of range.

    >>> w = Tensor([3.0], requires_grad=True)
    >>> optimizer = RMSprop([w], lr=0.05)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> print(f"{w:.6f}")
    2.500000
    """

    state_arrays = frozenset(["square_avg", "grad_avg", "momentum_buffer"])

    def __init__(
        self, params: Parameters, lr: float = 1e-2, alpha: float = 0.99, eps: float = 1e-8, weight_decay: float = 0.0,
        momentum: float = 0.0, centered: bool = False, *, maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, defaults | {"centered": centered, "maximize": maximize})

    def update(self, p: Tensor, grad: Array, state: State, group: Group) -> None:
        alpha, scratch = group["alpha"], self.scratch(p)
        grad = self.decayed(p, grad, group)
        square = fitting(np.multiply, grad, grad, out=scratch)
        state["step"] = state.get("step", 0) + 1  # nothing here needs it, but PyTorch's state has it
        mean_square = kept(state, "square_avg", p)
        mean_square *= alpha
        square *= 1 - alpha
        mean_square += square
        if group["centered"]:
            mean = kept(state, "grad_avg", p)
            mean *= alpha
            mean += np.multiply(grad, 1 - alpha, out=scratch)
            # after a large gradient the state is wider than `scratch`, in which the squares would overflow
            room = scratch if scratch.dtype == mean_square.dtype else np.empty_like(mean_square)
            variance = np.subtract(mean_square, np.square(mean, out=room, dtype=room.dtype), out=room)
            np.sqrt(np.maximum(variance, 0, out=room), out=scratch)  # rounding can leave it just below 0
        else:
            np.sqrt(mean_square, out=scratch)
        scratch += group["eps"]
        change = np.divide(grad, scratch, out=scratch)
        if group["momentum"]:
            buffer = kept(state, "momentum_buffer", p)
            buffer *= group["momentum"]
            buffer += change
            change = buffer
        self.descend(p, change, float(group["lr"]))


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all their squares (Duchi, Hazan and Singer, 2011).

    s = s + g²; p -= lr / (1 + (t - 1) · lr_decay) · g / (√s + eps) at step t.

    Args:
        params: tensors, or dicts of tensors and settings.
        lr: learning rate.
        lr_decay: how fast the learning rate falls.
        weight_decay: strength of the penalty weight_decay / 2 · |p|².
        initial_accumulator_value: what s starts from.
        eps: added to the root.
        maximize: climb instead.

    Raises:
        ValueError: if a setting is out of range.

    >>> w = Tensor([3.0], requires_grad=True)
    >>> optimizer = Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> print(f"{w:.6f}")
    2.500000
    """

    state_arrays = frozenset(["sum"])

    def __init__(
        self, params: Parameters, lr: float = 1e-2, lr_decay: float = 0.0, weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0, eps: float = 1e-10, *, maximize: bool = False,
    ) -> None:
        defaults = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "maximize": maximize}
        super().__init__(params, defaults | {"initial_accumulator_value": initial_accumulator_value})

    def update(self, p: Tensor, grad: Array, state: State, group: Group) -> None:
        scratch = self.scratch(p)
        grad = self.decayed(p, grad, group)
        total = kept(state, "sum", p, group["initial_accumulator_value"])
        total[...] = fitting(np.add, total, fitting(np.multiply, grad, grad, out=scratch), out=scratch)
        state["step"] = step = state.get("step", 0) + 1
        root = np.sqrt(total, out=scratch)
        root += group["eps"]
        change = np.divide(grad, root, out=scratch)
        change *= float(group["lr"]) / (1 + (step - 1) * group["lr_decay"])
        p.data -= change


def kept(state: State, name: str, p: Tensor, start: float = 0.0) -> Array:
    """An array of the shape of `p` that is remembered from step to step, at first filled with `start`."""
    array: Array | None = state.get(name)
    if array is None:
        array = state[name] = np.full_like(p.data, start)
    elif array.dtype < p.dtype:
        array = state[name] = array.astype(p.dtype)
    return array


class TooLarge(ArithmeticError):
    """What `fitting` raises: a number for which there is a wider dtype."""


def fitting(ufunc: np.ufunc, a: Array, b: Array, out: Array) -> Array:
    """`out` with the results of a function of NumPy; TooLarge if one overflows its dtype and there is a wider one.

    The processor takes note of that anyway, which saves another pass over the numbers.
    """
    with np.errstate(over="raise" if out.dtype.type in WIDER else "ignore"):
        try:
            ufunc(a, b, out=out)
        except FloatingPointError as error:
            if "overflow" not in str(error):  # what somebody who looks for a fault wants raised
                raise
            raise TooLarge from None
    return out


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float | str = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients in place so that their common norm is at most `max_norm` (Pascanu et al., 2013).

    A gradient that is recorded, since it is to be differentiated itself, stays as it is; its parameter gets another.

    Args:
        parameters: tensors; those without a gradient are skipped.
        max_norm: the largest norm that is left as it is.
        norm_type: the p of the p-norm, above 0; `math.inf` or "inf" for the largest element.
        error_if_nonfinite: raise instead of scaling by an infinite or undefined norm.

    Returns:
        The norm before clipping.

    Raises:
        TypeError: if a parameter is not a tensor.
        ValueError: if `max_norm` is negative or `norm_type` not positive, or an iterator of parameters is used up.
        RuntimeError: if the norm is not finite and `error_if_nonfinite` is set.

    >>> w = Tensor([0.0, 0.0], requires_grad=True)
    >>> (w * [3.0, 4.0]).sum().backward()
    >>> clip_grad_norm_([w], max_norm=1.0)
    5.0
    >>> print(np.round(w.grad.data, 3))
    [0.6 0.8]
    """
    max_norm = real("clip_grad_norm_", "max_norm", max_norm, 0)
    norm_type = math.inf if norm_type == "inf" else real("clip_grad_norm_", "norm_type", norm_type, above=0)
    params = with_gradients(parameters)
    norm = norm_of(np.array([norm_of(grad.data.ravel(order="K"), norm_type) for _, grad in params]), norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"the norm of the gradients is {norm}, so they cannot be scaled to {max_norm}")
    scale = max_norm / (norm + 1e-6)
    if not scale >= 1 and max_norm < math.inf:
        for p, grad in params:
            grad = changeable(p, grad)
            array = grad.numpy()
            # A factor too small for the gradient's dtype would lose digits, or be 0.
            dtype = np.result_type(array, np.float32) if scale > 1e-30 else np.float64
            with np.errstate(invalid="ignore"):  # infinities times 0
                grad.data = np.multiply(array, scale, out=array, dtype=dtype, casting="same_kind")
    return norm


def norm_of(x: Array, p: float) -> float:
    """The p-norm of (n,) numbers, also where sums of their powers would overflow or vanish."""
    x = x.astype(np.result_type(x, np.float32), copy=False)
    with np.errstate(over="ignore", under="ignore"):
        norm = float(np.linalg.norm(x, p)) if x.size else 0.0
    # from this bound down, powers of elements are subnormal and have lost digits
    if float(np.finfo(x.dtype).tiny / np.finfo(x.dtype).eps) ** (1 / p) < norm < math.inf:
        return norm
    size = float(np.abs(x).max(initial=0))
    return size * float(np.linalg.norm(x.astype(float) / size, p)) if 0 < size < math.inf else size


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of every gradient, in place, to the interval from `-clip_value` to `clip_value`.

    >>> w = Tensor([0.0, 0.0], requires_grad=True)
    >>> (w * [3.0, -0.5]).sum().backward()
    >>> clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 1. , -0.5], dtype=float64)

    Gradients that are recorded, and errors, are as for `clip_grad_norm_`.
    """
    clip_value = real("clip_grad_value_", "clip_value", clip_value, 0)
    for p, grad in with_gradients(parameters):
        grad = changeable(p, grad)
        array = grad.numpy()
        with np.errstate(over="ignore"):  # beyond what the dtype can hold, infinity is the limit
            grad.data = np.clip(array, -clip_value, clip_value, out=array)


def with_gradients(parameters: Tensor | Iterable[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """(parameter, gradient) of those parameters that have one, each once."""
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    if not params and isinstance(parameters, Iterator):
        raise ValueError("there are no gradients to clip: an iterator such as model.parameters() can be used only once")
    for p in params:
        check_parameter(p)
    return [(p, grad) for p in dict.fromkeys(params) if (grad := gradient_of(p)) is not None]


def gradient_of(p: Tensor) -> Tensor | None:
    """The gradient of a parameter, if it has one; ValueError if somebody gave it something else."""
    grad = p.grad
    if grad is not None and not (isinstance(grad, Tensor) and grad.data.shape == p.data.shape):
        given = f"one of shape {grad.shape}" if isinstance(grad, Tensor) else f"a {type(grad).__name__}"
        raise ValueError(f"the gradient of a parameter of shape {p.shape} is a Tensor of that shape, got {given}")
    return grad


def changeable(p: Tensor, grad: Tensor) -> Tensor:
    """The gradient of `p`, to be changed in place; of one that is recorded `p` gets a copy for that."""
    if not grad.is_leaf:
        p.grad = grad = Tensor(np.array(grad.data))
    return grad


def given_in_order(params: Any) -> list[Any]:
    """A list of several tensors or groups; TypeError for what is one, or has no order to know them by."""
    if isinstance(params, Tensor) or not is_list(params):
        raise TypeError(f"parameters come as a list of tensors or of dicts, got a {type(params).__name__}")
    return list(params)


def check_parameter(p: object) -> None:
    """Raise TypeError unless this is a tensor."""
    if not isinstance(p, Tensor):
        hint = ": pass model.parameters()" if isinstance(p, tuple) else ""  # and not those with their names
        raise TypeError(f"a parameter is a Tensor, got {f'{p!r:.80}'.splitlines()[0]} of type {type(p).__name__}{hint}")
