"""Known stories of the protocol, in text: what is done to a cluster, what it says, and what has to come of it."""
