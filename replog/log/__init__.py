"""What Paxos must not forget, on disk."""
