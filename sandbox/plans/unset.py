"""What memory holds that nobody has set, wherever we are asked."""

POISON = 0xFF
"""A byte that makes NaN in every float format, -1 in signed integers."""
GREAT = (0x7B, 0xFB)
"""Bytes that make a number of great size, one of either sign, in every format."""
