"""The front door: one function for each command. Import them from `babelmix` itself.

The commands parse, call one of these functions and print the result. Checks, defaults, recipes and reports are made here or
below, never in `babelmix.cli`.
"""
