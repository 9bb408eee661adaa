"""Whatever bytes may come over a link, drawn by hypothesis: ``make fuzz``."""
