"""What the machine gives: settings, errors, logs, declared YAML, processes, Java, secrets, HTTP."""
