"""Libraries beyond NumPy, imported where they are used, with a sentence where they are missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

PACKAGES = {"PIL": "pillow"}  # what is installed under another name than it is imported by


def required(module: str, purpose: str) -> ModuleType:
    """The module of a library that not everybody has installed.

    Args:
        module: its full name, such as "PIL.Image".
        purpose: what needs it, as the beginning of a sentence: "reading a photo".

    Raises:
        ImportError: if it is missing, with the command that installs it.

    >>> required("json", "writing a model card").dumps([1])
    '[1]'
    """
    library = module.partition(".")[0]
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != library:
            raise  # it is there, and lacks something itself
        package = PACKAGES.get(library, library)
        raise ImportError(f"{purpose} needs {package}: pip install {package}", name=library) from None
