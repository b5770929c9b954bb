"""Evaluation: generate on held-out tasks, judge with the same `verify` as training, measure, and write the report.

Never imports `rewards`: we do not grade with what we optimised.
"""
