"""TritonBench: its two halves as tasks (calls of their tests, posed anew), and its own protocol run by us."""
