"""Prototype banks of normality: local structure, global geometry, and the known categories."""
