"""The way to a model: clients, one streamed answer, faults, optional features, prices."""
