"""From packages, repositories, data sets and synthetic programs to verified tasks, prompts and splits."""
