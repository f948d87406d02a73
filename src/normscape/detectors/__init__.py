"""Detectors: tokens to anomaly maps, and the complete model around them."""
