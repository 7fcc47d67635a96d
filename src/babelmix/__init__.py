"""babelmix"""
