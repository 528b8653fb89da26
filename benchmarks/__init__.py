"""Measurements of time and accuracy; what they print goes to any console, with question marks for what it lacks."""

import io
import sys

if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors="replace")
