"""How fast the product is, measured against the bare minimum that does the same physical work."""
