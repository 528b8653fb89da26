"""Draws the pictures of the tour: `python docs/tour/pictures.py` writes them anew, a test compares them.

Each function below draws one: its name is the file's.
"""

import sys
from pathlib import Path

import minigrad as mg
from minigrad.show import graph


def slope() -> str:
    """Chapter 1: y = x * x, recorded."""
    x = mg.tensor(3.0, requires_grad=True)
    y = x * x
    return graph(y).svg()


def main(folder: Path) -> None:
    """Write every picture into a folder."""
    for name, draw in sorted(globals().items()):
        if callable(draw) and getattr(draw, "__module__", "") == __name__ and name != "main":
            (folder / f"{name}.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
