"""keywork: reinforcement learning whose data flow you can see."""

__version__ = "0.1.0"
__all__ = ["__version__"]
