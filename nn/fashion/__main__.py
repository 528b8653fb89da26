"""`python -m nn.fashion COMMAND`: what is done with data and trained models; see `nn/fashion/commands`."""

import sys

from nn.console import exit_status
from nn.fashion.commands import main

if __name__ == "__main__":
    sys.exit(exit_status("python -m nn.fashion", main))
