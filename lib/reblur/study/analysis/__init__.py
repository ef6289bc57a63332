"""From scores to what a reader sees: scores → statistics → summary → tables, figures, claims."""
