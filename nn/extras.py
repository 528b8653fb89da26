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
        ImportError: if it is missing, with the command that installs it, or if it does not load, for whatever reason.

    >>> required("json", "writing a model card").dumps([1])
    '[1]'
    """
    library = module.partition(".")[0]
    package = PACKAGES.get(library, library)
    try:
        return import_module(module)
    except Exception as error:  # of another version of something, or of a setting, a library may raise anything
        if isinstance(error, ModuleNotFoundError) and (error.name or library).partition(".")[0] == library:
            raise ImportError(f"{purpose} needs {package}: pip install {package}", name=library) from None
        reason = " ".join(str(error).split())[:200]
        raise ImportError(f"{purpose} needs {package}, which does not load: {reason}", name=library) from error
