"""Published logs that tests replay, each in its folder with its origin and licence, read as facts by a converter
here.
"""
