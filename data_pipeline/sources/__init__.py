"""Tasks from elsewhere than our own generator: one module a source, each an iterator of proposals."""
