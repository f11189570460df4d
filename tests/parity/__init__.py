"""What modelbuild merges, held against what mergekit merges from the same models and settings."""
