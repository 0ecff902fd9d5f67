"""Pictures to latents and back, one autoencoder a file."""
