"""What was measured, for people and for files: tables, result files, pictures."""
