"""The sections of `params.yaml`, one model each."""
