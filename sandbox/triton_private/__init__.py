"""All that touches Triton's private interfaces, for versions 3.6 to 3.9: interpreter, compiler and tracing."""
