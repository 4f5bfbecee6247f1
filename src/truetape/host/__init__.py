"""The machine: settings, errors, logs, declared YAML, processes, Java, secrets, HTTP."""
