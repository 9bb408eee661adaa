"""A Multi-Paxos replicated log with a distinguished leader, to embed in Python programs."""
