"""What it takes to run the engine: image, manifests, rules, dashboards, and a local Kafka (`deploy.local_broker`)."""
