"""The interpreter's child: a plan on a CPU, and a watch over all that its kernels do to memory. Untrusted."""
