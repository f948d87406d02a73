"""DPDiff-AD after its published abstract: dual prototypes, and diffusion conditioned on both."""
