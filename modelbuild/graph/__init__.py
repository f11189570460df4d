"""The Modelfile bound: names to sources and merges, merges to methods, values to parameters, all in building order."""

from modelbuild.graph.bind import bind
from modelbuild.graph.model import BoundInput, BoundSlice, Chain, Graph, Node
from modelbuild.graph.targets import select

__all__ = ["BoundInput", "BoundSlice", "Chain", "Graph", "Node", "bind", "select"]
