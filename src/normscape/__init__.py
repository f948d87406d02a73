"""One unsupervised inspection model for many product categories, kept true in production."""

__version__ = "0.1.0"
