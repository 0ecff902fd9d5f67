"""One denoiser a file: whatever its network predicts, it gives x0. `prediction` and `unet` are what they share."""
