"""Kernel bodies as a closed language, read from a candidate's syntax tree: no torch, no Triton, nothing is executed."""
