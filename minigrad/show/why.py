"""Why a backward pass did what it did, in sentences: where something ends, is shared, or is added up."""

from __future__ import annotations

import numpy as np

from minigrad.arrays import Array
from minigrad.debugging import met_infinite_slope
from minigrad.recording import Contributed, Recorded
from minigrad.tensor import Tensor

TIES = {"max", "min", "maximum", "minimum", "fmax", "fmin", "amax", "amin"}


def why_recorded(event: Recorded) -> tuple[str, ...]:
    """Of an operation: which of its inputs get no gradient, and if it gets none itself."""
    if event.result.is_leaf:
        live = [x for x in event.inputs if isinstance(x, Tensor) and x.requires_grad]
        return ("no_grad() was on, so this is a constant from here on",) if live else (
            "all its inputs are constants, or were cut off by detach() or a cast to integers: nothing comes back here",
        )
    constants = [i for i, x in enumerate(event.inputs) if not (isinstance(x, Tensor) and x.requires_grad)]
    return tuple(f"input {i} is a constant: its rule will not be applied, and nothing flows to it" for i in constants)


def why_contributed(event: Contributed) -> tuple[str, ...]:
    """Of a contribution: what a kink, a tie, a branch or a bad number made of it."""
    name = getattr(event.result._operation, "__name__", "")
    raw, incoming = np.asarray(event.raw._data), np.asarray(event.gradient._data)
    said = []
    if name == "relu":
        flat = int((np.asarray(event.result._data) == 0).sum())
        said.append(f"relu is flat where its result is 0: nothing passes at {flat} of {event.result.size} elements")
    if name == "where":
        some = int((raw != 0).sum())
        said.append("a gradient passes only where this branch was chosen: "
                    f"here some does at {some} of {raw.size} elements"
                    if some else "nothing passes: this branch was chosen nowhere that a gradient came from")
    if name in TIES and shares(raw, incoming):
        said.append("there is a tie, and its gradient is shared evenly")
    if name != "checkpoint" and np.isnan(raw).any() and not np.isnan(incoming).any():  # there it begins within
        said.append(f"NaN begins here: {why_nan(event)}")
    if event.arrival > 1:
        said.append("the tensor was used more than once, and what comes back along its paths is added")
    return tuple(said)


def shares(raw: Array, incoming: Array) -> bool:
    """Whether the gradient of an element of a result goes to several elements of the input, or only in part to one."""
    if raw.shape == incoming.shape:
        return bool(((raw != 0) & (np.abs(raw) < np.abs(incoming))).any())
    return bool(np.count_nonzero(raw) > np.count_nonzero(incoming))


def why_nan(event: Contributed) -> str:
    """Where the NaN comes from that a rule has made of a gradient without any."""
    if met_infinite_slope(event).any():
        return "a gradient of 0 met an infinite slope, and 0 · inf is NaN"
    raw, result = np.asarray(event.raw._data), np.asarray(event.result._data)
    if np.isnan(result[np.isnan(raw)] if raw.shape == result.shape else result).any():
        return "the operation had it, or made it, forwards"
    return "the rule made it"
