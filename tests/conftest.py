"""For every test: hypothesis neither judges speed, which belongs in benchmarks/, nor makes a run differ from the one before.

`pytest --hypothesis-profile=explore` looks at new examples instead of the same ones.
"""

from hypothesis import settings

settings.register_profile("house", deadline=None, derandomize=True)
settings.register_profile("explore", deadline=None)
settings.load_profile("house")
