"""The hands: everything that touches the world."""
