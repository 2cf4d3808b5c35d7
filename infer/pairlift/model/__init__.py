"""The model: opens a bundle, checks it against its proof, and scores with it."""
