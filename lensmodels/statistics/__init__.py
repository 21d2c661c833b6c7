"""How far a score would scatter, and whether a difference is significant.

bootstrap   intervals over test images
"""
