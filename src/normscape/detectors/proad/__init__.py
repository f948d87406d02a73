"""Pro-AD after its published abstract: images are rebuilt from prototypes that adapt to them."""
