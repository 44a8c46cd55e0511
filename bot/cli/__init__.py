"""The commands by subject: in each module what a command reads, and beside it what it does once the parts are joined.

`bot.__main__` lists them all. What a command does is a function of the parts, which tests and the playground call, too.
"""
