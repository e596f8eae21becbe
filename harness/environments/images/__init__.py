"""Root file systems and images with Python and this package in them."""
