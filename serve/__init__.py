"""Serving: an OpenAI-compatible endpoint for a checkpoint, with the chat template and sampling defaults of training.

`vllm_command.py` hands over to vLLM on a GPU host. `app.py`, `rows.py` and `api.py` are a small server of our own on
the transformers engine, for small models on any machine.
"""
