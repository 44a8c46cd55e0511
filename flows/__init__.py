"""The talk: what is said and asked next. Pure: no input, no output, no clock, no environment; standard library only."""
