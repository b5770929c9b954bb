"""Kernelwright's sandbox: runs untrusted Triton kernels and says, provably, whether they are right.

Covered: hostile candidate Python (isolated, never beside data, a clock or a reference), hostile device code
(guard bands, poisoned outputs, fresh secret inputs), hangs, bombs, network and file access.
Not covered: bugs in the Linux kernel, in Triton's compiler, or in the hardware.
"""
