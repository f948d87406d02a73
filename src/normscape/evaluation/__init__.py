"""Metrics, pictures and the report of a model on test images."""
