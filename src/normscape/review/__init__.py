"""People's verdicts on what was scored, and what becomes of the data and the calibration."""
