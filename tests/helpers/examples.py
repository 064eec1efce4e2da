"""How often random tests are repeated, where the usual number takes too long."""

from __future__ import annotations

from hypothesis import settings

FEW = settings(max_examples=settings().max_examples * 3 // 10)
"""A decorator for a test whose examples take milliseconds."""
