"""How a pipeline is run: on threads of this process, on Flink, Spark or Dataflow."""
