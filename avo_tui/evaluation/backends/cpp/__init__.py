"""The C++ backend: host code, compiled with the user's compiler, run in a disposable process."""
