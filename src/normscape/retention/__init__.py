"""Limits of what scoring and monitoring leave behind."""
