"""The loops that are compiled: numba's Python, which nothing but `machine` imports, and only to compile.

A loop is called with arrays, formulas over arrays and numbers; it owns nothing, returns nothing, and writes what it finds
into arrays it is given.
"""
