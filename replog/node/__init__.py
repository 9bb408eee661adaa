"""One running replica: the core, its stores, its links and its clients."""
