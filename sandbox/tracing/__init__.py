"""The tracer's child: runs a candidate's Python on fake tensors and writes down what it wants done. Untrusted."""
