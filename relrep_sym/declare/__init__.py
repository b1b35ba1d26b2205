"""What a user states: families, models, charts, views, truths, and the parser for what she
wrote.
"""
