"""From image folders to a checked manifest: layouts, scan, split, expectations."""
