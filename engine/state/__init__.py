"""A partition's durable state: encoded, kept on the local disk, logged to Kafka, restored from there (DESIGN.md 7)."""
