"""Losses, pure functions of matches, latents and pictures: `matching` knows exact flows, the others are published.

`midm` has MIDMs' of latents and features, `perceptual` those that VGG sees, `contextual` the one of CoCosNet.
"""
