"""hypothesis strategies for everything that gradients depend on: arrays, shapes, calls of operations, whole programs.

Values shrink to small and simple ones, and keep clear of kinks unless they aim at them.
"""

from minigrad.testing.calls import Call as Call
from minigrad.testing.calls import at_kinks as at_kinks
from minigrad.testing.calls import calls as calls
from minigrad.testing.calls import einsum_specs as einsum_specs
from minigrad.testing.calls import elements_for as elements_for
from minigrad.testing.calls import register as register
from minigrad.testing.composed import each as each
from minigrad.testing.layouts import LAYOUTS as LAYOUTS
from minigrad.testing.programs import Program as Program
from minigrad.testing.programs import programs as programs
from minigrad.testing.values import arrays as arrays
from minigrad.testing.values import axes as axes
from minigrad.testing.values import broadcastable as broadcastable
from minigrad.testing.values import cotangents as cotangents
from minigrad.testing.values import elements as elements
from minigrad.testing.values import full_shapes as full_shapes
from minigrad.testing.values import indices as indices
from minigrad.testing.values import magnitudes as magnitudes
from minigrad.testing.values import reshapes as reshapes
from minigrad.testing.values import shapes as shapes
from minigrad.testing.values import tensors as tensors
