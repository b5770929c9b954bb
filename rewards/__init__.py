"""Verdict → float or None: what a completion is worth to the trainer. Evaluation never comes here.

`score.py` holds the recipes, `rollout.py` the record of one scored completion, `python -m rewards` recomputes rewards.
"""
