"""The batch proof: a plain evaluator over raw facts that shares no code with the engine whose results it checks."""

from engine.recount.compare import compare
from engine.recount.leaf import Unsupported
from engine.recount.life import Change, InForce
from engine.recount.run import Result, recount

__all__ = ["Change", "InForce", "Result", "Unsupported", "compare", "recount"]
