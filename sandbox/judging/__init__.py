"""The judges: secret seeds, references, truth, comparison and the clock. They never meet candidate code."""
