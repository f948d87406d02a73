"""WHAT is watched: the comparison with the reference, the alerts and the pages that show both."""
