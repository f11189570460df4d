"""From a bound graph and headers to inert data: one action per output tensor, and how targets lie on disk."""

from modelbuild.plan.actions import Action, Leaf, Ref, Step, Survey, describe
from modelbuild.plan.model import Model
from modelbuild.plan.plan import Plan, Target, make_plan

__all__ = ["Action", "Leaf", "Model", "Plan", "Ref", "Step", "Survey", "Target", "describe", "make_plan"]
