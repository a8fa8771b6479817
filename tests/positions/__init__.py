"""Reading one's own writes: a load over two APIs and three replicas, with a checker, under faults."""
