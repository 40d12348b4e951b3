"""The guideline report: one page, one Word file, and everything behind them as files."""
