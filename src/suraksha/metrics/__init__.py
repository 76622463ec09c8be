"""Scores of predicted masks against ground-truth masks, and their confidence intervals."""
