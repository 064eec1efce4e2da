"""Volumes opened for reading: one module a format, and the registry that lists them.

It knows nothing of budgets or outputs.
"""
