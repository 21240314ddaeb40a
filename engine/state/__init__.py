"""A partition's durable state: how it is encoded, kept on the local disk, logged to Kafka and restored from there (DESIGN.md 7)."""
