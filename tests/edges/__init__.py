"""Hostile names, arguments, environments, descriptors, disks and streams, against the real commands: ``make edges``."""
