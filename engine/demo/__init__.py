"""What `segment-engine demo` plays through: a real shop log as facts, and segments that a shop would use on it."""
