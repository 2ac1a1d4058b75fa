"""A process for a stranger's code: it computes, and can do nothing else.

`outside.py` starts it and asks; everything else here runs inside, needs nothing but numpy, and is
imported there as a package of its own, so that the library is out of the stranger's reach.
"""
