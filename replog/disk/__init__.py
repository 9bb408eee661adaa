"""Files, whoever's they are: the structure of LMDB's pages, durability, space."""
