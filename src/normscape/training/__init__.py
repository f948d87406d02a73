"""One training loop for everything that learns by gradients: detectors, refiner, novelty model."""
