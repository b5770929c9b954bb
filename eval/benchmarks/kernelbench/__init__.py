"""KernelBench: its problems as tasks, its own protocol run by us, and whether we agree with its evaluator."""
