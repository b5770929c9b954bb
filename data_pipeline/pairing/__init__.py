"""Harvested kernels beside PyTorch code for the same: `settle` finds tasks and solutions, the rest reads and slices."""
