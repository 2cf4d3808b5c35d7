"""The model: a bundle, opened, held to its proof, and scored with."""
