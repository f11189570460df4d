"""Runs a plan: tensors streamed from where they lie to where they belong, on threads, through the cache."""
