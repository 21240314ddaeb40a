"""The batch proof: a plain evaluator over raw facts that shares no code with the engine whose results it checks."""

from engine.recount.compare import compare
from engine.recount.leaf import Unsupported
from engine.recount.run import Result, recount

__all__ = ["Result", "Unsupported", "compare", "recount"]
