"""The functions of `babelmix`, one for each command. Import them from `babelmix` itself.

A command parses its options, calls one of these functions and prints the result. Checks, defaults, recipes and reports are in
this package or in the packages that it uses, never in `babelmix.cli`.
"""
