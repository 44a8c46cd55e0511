"""Stand-ins for the world, so that everything can be tried without an account anywhere."""
