"""A bundle and images become scores, anomaly maps, a score log, and an inbox for people."""
