"""The settings of a recipe from outside: from flags, and from the `config.json` of an earlier run."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from types import NoneType
from typing import Any, get_type_hints

from nn.fashion.models import BUILDERS
from nn.fashion.recipes import Recipe, fits
from nn.files import FileError, read_json

TEXTS = "name", "summary", "published", "measured", "published_schedule"  # say what a recipe is, and decide nothing
NAME = re.compile(r"\w[\w.+-]{0,99}")  # of a recipe, which its folder has too
HINTS = get_type_hints(Recipe)
FROM_DATA = "size", "classes"  # of a network: of the images, and how many outputs there are
SETTINGS = tuple(field.name for field in fields(Recipe) if field.name not in (*TEXTS, "architecture"))


def named(text: str) -> tuple[str, Any]:
    """The name and the value in NAME=VALUE; what is no JSON is text, and `none` is None. Raises ValueError."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"--set takes NAME=VALUE, got {text!r:.80}")
    if value.lower() == "none" and fits(None, HINTS.get(name, NoneType)):  # flip=none is text, patience=none is None
        return name, None
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, value


def changed(recipe: Recipe, settings: Mapping[str, Any]) -> Recipe:
    """The recipe with some settings changed; `architecture.dropout` is one of its network.

    Raises ValueError if there is no such setting, or it takes no such value.

    >>> from nn.fashion.recipes import RECIPES
    >>> changed(RECIPES["default"], {"erase": 4, "architecture.dropout": 0.1}).architecture["dropout"]
    0.1
    """
    plain, architecture = dict[str, Any](), dict(recipe.architecture)
    names = settings_of(recipe)
    for name, setting in settings.items():
        if name not in names:
            raise ValueError(f"the recipe {recipe.name} has no setting {name!r:.80}, only {', '.join(names)}")
        if name.startswith("architecture."):
            architecture[name.removeprefix("architecture.")] = setting
        else:
            plain[name] = setting
    if own := {"mean", "std"} & settings.keys():
        if settings.get("standardise"):
            raise ValueError(f"standardise takes both from the images, so that {min(own)} would have no effect")
        plain["standardise"] = False
    return replace(recipe, architecture=architecture, **plain)


def settings_of(recipe: Recipe) -> list[str]:
    """The names of all settings of a recipe, those of its network among them, but for what that has from the data."""
    network = inspect.signature(BUILDERS[recipe.architecture["name"]]).parameters
    return [*SETTINGS, *(f"architecture.{name}" for name in (*network, "mirrored") if name not in FROM_DATA)]


def configured(path: str | os.PathLike[str]) -> Recipe:
    """The recipe that the `config.json` of a run says. Raises FileError."""
    config = read_json(path)
    try:
        return recipe_of(config)
    except ValueError as error:
        raise FileError(f"{path} is no config.json of a run: {error!s:.300}") from error


def recipe_of(config: Any) -> Recipe:
    """The recipe from its plain data. Raises ValueError."""
    if not isinstance(config, dict):
        raise ValueError("it is no object with settings")
    if unknown := [name for name in config if name not in HINTS]:
        raise ValueError(f"a recipe has no setting {unknown[0]!r:.80}")
    required = [name for name, each in inspect.signature(Recipe).parameters.items() if each.default is each.empty]
    if missing := [name for name in required if name not in config]:
        raise ValueError(f"it lacks the setting {missing[0]}")
    recipe = Recipe(**config)
    if not NAME.fullmatch(recipe.name):
        raise ValueError(f"its name is {recipe.name!r:.80}, and not of letters, digits, -, +, _ and . alone")
    network = recipe.architecture.get("name")
    if not isinstance(network, str) or network not in BUILDERS:
        raise ValueError(f"there is no network named {network!r:.80}, only {', '.join(BUILDERS)}")
    return recipe
