"""Augmentation of log-mel batches: one effect, one file.

Every effect draws first and is applied after. `EFFECT.draw(seeds, …)` takes one seed an item and tells in
small numpy arrays what will happen; what it returns is applied to tensors on any device, holds no chance
any more, and can be printed. The same seed draws the same for an item, whatever batch it is in. None is
on by default: whether one helps is measured on the user's data, not assumed.
"""
