"""The C backend; it uses the runner of the C++ backend."""
