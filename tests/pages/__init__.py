"""Pages that are lessons: every block of them runs as it stands."""
