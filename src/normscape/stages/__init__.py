"""One module per DVC stage: read parameters and inputs, call the library, write the stage's out."""
