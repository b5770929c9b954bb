"""From packages and synthetic programs to verified tasks, prompts and splits."""
