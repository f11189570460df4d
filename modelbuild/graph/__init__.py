"""The Modelfile bound: names to sources and merges, merges to methods, values to parameters, all in building order."""

from modelbuild.graph.bind import bind
from modelbuild.graph.model import BoundInput, BoundSlice, Chain, Graph, Node

__all__ = ["BoundInput", "BoundSlice", "Chain", "Graph", "Node", "bind"]
