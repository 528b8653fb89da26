"""The default random generator, which the engine keeps."""

from minigrad.random import default_generator as default_generator
from minigrad.random import manual_seed as manual_seed
from minigrad.random import source as source
