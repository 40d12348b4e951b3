"""Fits, analyses and tables in notebooks and data frames: `cards` with small pictures, `tidy` tables."""
