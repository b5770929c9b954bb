"""Reinforcement learning: GRPO on TRL, with verdicts of the sandbox as rewards. `python -m rl [experiment=NAME]`.

`prompts.py` picks the tasks, `reward.py` turns completions into rewards and keeps every rollout, `train.py` runs the
trainer. Writes `<out>/rl/`: `model/`, `rollouts.jsonl`, `metrics.jsonl`, `summary.json`, `tensorboard/`.
"""
