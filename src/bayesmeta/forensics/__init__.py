"""What is improbable or impossible in study tables and in published results: findings, never corrections."""

from bayesmeta.forensics.published import AUDIT_RULES, audit
from bayesmeta.forensics.rules import Hit, Rule, findings_table
from bayesmeta.forensics.tables import RULES, examine_reading, examine_table

__all__ = ["AUDIT_RULES", "RULES", "Hit", "Rule", "audit", "examine_reading", "examine_table", "findings_table"]
