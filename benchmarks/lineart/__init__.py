"""Line art coloured like a reference: how often a colour is the right one, where the right one is known."""
