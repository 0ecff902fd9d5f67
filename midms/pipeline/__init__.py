"""What people hold: translate, correspondences, batches, demo."""
