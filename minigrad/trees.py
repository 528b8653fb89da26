"""Nested containers: what functions take and return, of which each leaf is an array, a tensor or anything else."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Any, TypeAlias

Tree: TypeAlias = Any  # an array, a tensor, a number, or nested tuples, lists and dicts of them


def leaves(tree: Tree) -> list[Any]:
    """What is inside the nested containers, in order."""
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, (list, tuple)) else [tree]


def rebuilt(tree: Tree, new: Iterable[Any]) -> Tree:
    """The containers of `tree` with the next of `new` in place of each leaf."""
    rest = iter(new)  # of an iterator that is itself
    if isinstance(tree, dict):
        same = copy(tree)  # of its own class, with whatever else that holds
        same.update({name: rebuilt(part, rest) for name, part in tree.items()})
        return same
    if isinstance(tree, (list, tuple)):
        parts = [rebuilt(part, rest) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return next(rest)


def counterparts(given: Tree, tree: Tree) -> list[Any]:
    """What `given`, built of the same containers, has in the place of each leaf of `tree`: in dicts, that of its name.

    Raises:
        ValueError: if it has other containers, names, or lengths.
    """
    if isinstance(tree, dict) and isinstance(given, dict) and given.keys() == tree.keys():
        pairs = [(given[name], part) for name, part in tree.items()]
    elif isinstance(tree, (list, tuple)) and isinstance(given, (list, tuple)) and len(given) == len(tree):
        pairs = list(zip(given, tree, strict=True))
    elif isinstance(tree, (dict, list, tuple)):
        raise ValueError("other containers")
    else:
        return [given]
    return [leaf for pair in pairs for leaf in counterparts(*pair)]
