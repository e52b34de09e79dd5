"""Measurements of mo against baselines of the same run; see README.md."""
