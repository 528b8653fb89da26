"""Write a page that runs a model in the browser, and its model card beside it.

The page is one file: the network is inside, and it asks for nothing from anywhere, so it works when it is opened from
a folder as well as on any web server. It has test images to click, takes a photo, and lets one draw. MODEL_CARD.md says
what the model is and how good, in the form that model hubs read; one that is there already is kept.

A model that learned something else than garments needs the data that it learned from, and sees all of a photo.

Examples:
  python -m nn.fashion page runs/default -o garments.html
  python -m nn.fashion page runs/pets --data ~/pets -o pets.html
"""

from __future__ import annotations

import argparse
from pathlib import Path

from nn.console import as_path, say
from nn.fashion.card import settings_of_run, write_card
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import load
from nn.fashion.folder import check_output
from nn.fashion.webpage import write_page

CARD = "MODEL_CARD.md"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    add = parser.add_argument
    add("model", type=as_path, metavar="RUN_OR_MODEL", help="a run's folder, or a model file")
    add("-o", "--output", type=as_path, default=Path("page.html"), metavar="FILE",
        help="the page to write (default: page.html)")
    add("--data", metavar="DIR", help="folder with the data (default: where they are found, see train.py)")


def run(given: argparse.Namespace) -> None:
    """Write page and card."""
    check_output(given.output, ".html", ".htm")
    classifier = Classifier.load(given.model)
    data = load(given.data, size=classifier.size)
    write_page(classifier, data, given.output)
    card = given.output.with_name(CARD)
    size = f"{given.output.stat().st_size / 1000:,.0f} kB"
    if card.exists():  # somebody may have added to it
        say(f"Wrote {given.output} ({size}); {card} is kept as it is: remove it for one that is written anew")
        return
    write_card(classifier, data, card, settings_of_run(given.model))
    say(f"Wrote {given.output} ({size}) and {card}")
