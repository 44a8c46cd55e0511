"""The desk: what becomes of a case when a person takes it, answers, stays silent or gives it back. Pure."""
