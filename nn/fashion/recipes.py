"""Recipes: everything that decides how a training run goes, as plain data that flags can override."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import nn
from nn.fashion.dataset import MEAN, STD


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of a training run.

    Attributes:
        name, summary: what it is called, and one line about it.
        architecture: the network, see `nn.fashion.models.build`.
        epochs, batch_size, lr, optimizer, weight_decay, label_smoothing: as everywhere.
        schedule: "one-cycle" rises to `lr` and falls to nearly 0 (Smith and Topin, 2018), "constant" stays there.
        mean, std: what is subtracted from pixels scaled to [0, 1], and what they are divided by.
        initial_std: draw all weights from N(0, initial_std²) and set biases to 0; the layers' own defaults if None.
        dropout_epochs: train only this many epochs in training mode, the rest in evaluation mode; all if None.
        val_size: how many training images are held out for validation; one in twelve, 5,000 of 60,000, if None.
        seed: of everything random but the validation split.
    """

    name: str
    summary: str
    architecture: dict[str, Any]
    epochs: int
    batch_size: int
    lr: float
    optimizer: Literal["sgd", "adam", "adamw"]
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    schedule: Literal["constant", "one-cycle"] = "constant"
    mean: float = 0.0
    std: float = 1.0
    initial_std: float | None = None
    dropout_epochs: int | None = None
    val_size: int | None = None
    seed: int = 0


OPTIMIZERS: dict[str, Callable[..., nn.optim.Optimizer]] = {
    "sgd": nn.optim.SGD,
    "adam": nn.optim.Adam,
    "adamw": nn.optim.AdamW,
}

ARTICLE_NETWORK = {"name": "mlp", "sizes": [784, 256, 64, 10], "dropout": 0.2}

_article: dict[str, Any] = {
    "architecture": ARTICLE_NETWORK, "epochs": 25, "batch_size": 32, "lr": 0.005, "optimizer": "sgd",
    "initial_std": 0.1, "val_size": 0,
}  # fmt: skip

RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="default",
            summary="the article's network, trained with AdamW and a one-cycle schedule",
            architecture=ARTICLE_NETWORK,
            epochs=32,
            batch_size=128,
            lr=2e-3,
            optimizer="adamw",
            weight_decay=0.1,
            label_smoothing=0.1,
            schedule="one-cycle",
            mean=MEAN,
            std=STD,
        ),
        Recipe(
            name="article",
            summary="the published reference: plain SGD, weights from N(0, 0.1²), dropout in every epoch",
            **_article,
        ),
        Recipe(
            name="article-as-published",
            summary="the same with the bug behind the published figure: dropout acts in the first epoch only",
            dropout_epochs=1,
            **_article,
        ),
    )
}
