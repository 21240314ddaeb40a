"""Benchmarks of the whole engine against a real broker; `python -m tests.bench --help` lists them."""
