"""The app: draw or drop a drawing and pictures, translate, click to see where every pixel came from."""
