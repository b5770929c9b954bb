"""Measures the sandbox itself: security, throughput, timing fidelity and endurance. `python -m sandbox bench --help`.

The corpora (exploits, honest kernels, tasks, KernelBench pairs) are files that live with the tests; their folders are
arguments. Nothing here is part of a verdict: the sandbox never imports this package.
"""
