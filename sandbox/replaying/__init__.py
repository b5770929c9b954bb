"""The replayers: compiled kernels on a GPU. They hold inputs and outputs, no reference, no truth and no seed."""
