"""The compiler's child: clean kernel source to Triton IR, machine code and statistics. Its output is only data."""
