"""Load on a cluster: our own generator, what every generator is asked for, and what they report."""
