"""Bayesian meta-analysis without simulation error."""
