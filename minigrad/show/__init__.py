"""Looking at graphs and at backward passes."""

from minigrad.show.drawing import Graph as Graph
from minigrad.show.drawing import graph as graph
from minigrad.show.tracing import Trace as Trace
from minigrad.show.tracing import trace as trace
