"""Losses, pure functions of matches, latents and pictures: `matching` knows exact flows, the others are the paper's.

`paper` has those of latents and features, `perceptual` those that VGG sees, `contextual` the one of CoCosNet.
"""
