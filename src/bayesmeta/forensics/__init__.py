"""What is improbable or impossible in study tables and in published results: findings, never corrections."""

from bayesmeta.forensics.rules import Hit, Rule, findings_table
from bayesmeta.forensics.tables import RULES, examine_reading, examine_table

__all__ = ["RULES", "Hit", "Rule", "examine_reading", "examine_table", "findings_table"]
