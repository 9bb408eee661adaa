"""Pictures of result files; each is drawn twice, for light and for dark pages."""
