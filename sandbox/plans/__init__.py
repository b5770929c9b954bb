"""The plan, as which a candidate leaves its process: its form, its checks, its memory and its torch operators."""
