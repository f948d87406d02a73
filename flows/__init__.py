"""WHEN things run: one Prefect flow a file, thin around the library and DVC's stages."""
