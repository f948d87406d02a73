"""DRDC: anomaly maps made sharper by what a diffusion model of normal pixels would inpaint."""
