"""Inductor's generated code as plain Triton: from `wrapper`, which reads a module, down to names and sizes."""
