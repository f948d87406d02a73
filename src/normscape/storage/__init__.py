"""S3 and what speaks its protocol: the one place of the project that talks to an object store."""
