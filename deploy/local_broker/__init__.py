"""A real Kafka on this machine, without Docker: started, awaited and stopped by us, gone when we are gone.

with LocalBroker() as broker:
    print(broker.brokers)  # 127.0.0.1:40123
"""

from deploy.local_broker.broker import BrokerError, LocalBroker, Memory, free_port

__all__ = ["BrokerError", "LocalBroker", "Memory", "free_port"]
