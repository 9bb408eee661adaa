"""What this process has of the system: its limits and descriptors, and what becomes of them in a forked child."""
