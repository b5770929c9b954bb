"""Other people's benchmarks: read from clones or the hub, their published answers, and their formulas.

Nothing of them is kept in this repository.
"""
