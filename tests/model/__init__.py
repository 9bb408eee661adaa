"""The TLA+ model of docs/tla, checked by TLC in bounded instances."""
