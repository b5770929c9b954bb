"""Supervised fine-tuning on (prompt, verified kernel) pairs with TRL. `python -m sft [experiment=NAME]`.

`data.py` makes conversations of tasks and solutions, `train.py` trains on them. Writes `<out>/sft/`: `model/`,
`metrics.jsonl`, `summary.json`, `tensorboard/`.
"""
