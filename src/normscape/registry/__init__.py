"""Model bundles, the registry that keeps them, and the gate a model passes to reach production."""
