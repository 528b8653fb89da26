"""Write one page about a run, or compare several: curves, confusions, mistakes, calibration, a map, an analysis.

The page is one file that needs no network. With several runs the first one is shown at length, and all are compared,
metric by metric, with the settings in which they differ.

Examples:
  python -m nn.fashion report runs/default
  python -m nn.fashion report runs/fast-cnn runs/default -o compared.html
"""

from __future__ import annotations

import argparse
import os

from nn.console import as_path, say
from nn.fashion.classifier import Classifier
from nn.fashion.dataset import load
from nn.fashion.folder import REPORT, check_output
from nn.fashion.report_page import write_report
from nn.files import FileError, check_can_write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of this command."""
    add = parser.add_argument
    add("runs", type=as_path, nargs="+", metavar="RUN", help="a run's folder")
    add("--data", metavar="DIR", help="folder with the data (default: where they are found, see train.py)")
    add("-o", "--output", type=as_path, metavar="FILE", help="page to write (default: report.html in the first folder)")


def run(given: argparse.Namespace) -> None:
    """Write the page."""
    for path in given.runs:
        if os.path.isfile(path):
            raise FileError(f"{path} is a file: name the folder of a run")
    own = given.runs[0] / REPORT
    if given.output in (None, own):  # which is made anew
        check_can_write(own)
    else:
        check_output(given.output, ".html", ".htm")
    size = Classifier.load(given.runs[0]).size
    say(f"Wrote {write_report(given.runs, load(given.data, size=size), given.output)}")
