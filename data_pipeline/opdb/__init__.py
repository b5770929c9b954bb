"""Samples of torch's operator database as programs with symbolic shapes, for `data_pipeline.sources.opdb`."""
