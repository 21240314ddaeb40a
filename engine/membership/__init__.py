"""The pure core: plan, step, deadlines, transitions. No I/O, no wall clock, no Kafka, no randomness."""
