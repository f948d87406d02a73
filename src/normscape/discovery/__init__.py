"""Which kinds of defects there are, which is which over the years, and which are new."""
