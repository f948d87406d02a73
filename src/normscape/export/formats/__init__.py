"""One module a format; each writes an artefact's files and runs them, and imports its runtime."""
