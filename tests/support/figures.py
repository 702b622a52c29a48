"""What generated tests have tried, counted: said at the end of a run."""

from collections import Counter

FIGURES: Counter[str] = Counter()
