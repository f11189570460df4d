"""Faults at every point: kills, errors, power losses, full disks, damage, crowds.

Each test has a short form that the everyday suite runs, or the slow one, and a long form for `make torture`: `counts.py` says how
many of each.  What a test counted is printed when the run ends.
"""
