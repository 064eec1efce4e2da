"""Whatever holds a volume, opened for reading: one module a format.

It knows nothing of budgets, nor of what is written.
"""
