"""Diffusion on what the prototypes leave unexplained: schedule, denoiser, sampler."""
