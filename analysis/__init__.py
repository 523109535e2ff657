"""From results to the paper's figure and table, a verdict on how compressions combine, and a report; no torch."""
