"""Looking at graphs and at backward passes."""

from minigrad.show.drawing import Graph as Graph
from minigrad.show.drawing import graph as graph
from minigrad.show.trace import Trace as Trace
from minigrad.show.trace import trace as trace
