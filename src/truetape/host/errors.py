"""The whole error tree. A class exists because some `except` treats it differently.

Bad records are not errors: they are `market.rejection.Rejected`.
"""


class TruetapeError(Exception):
    """Any error that truetape raises on purpose.

    Its message says what happened, the value, and the next move.
    """

    exit_code = 1


class ConfigError(TruetapeError):
    """A file, a setting or an argument must change first; a retry fails again."""

    exit_code = 78


class TransientError(TruetapeError):
    """A server was away or slow. The same call may succeed later, and is safe to repeat."""

    exit_code = 75


class FencedError(TransientError):
    """Another producer has taken over the transactional id; this one can no longer commit."""


class LeaseLostError(TransientError):
    """Another driver has the lease of the speed layer; this one must stop writing."""


class OutdatedPlanError(TransientError):
    """The plan is older than a change that affects it. Nothing was done; make a new plan."""


class NotThereError(TruetapeError):
    """The requested thing does not exist; a page answers 404."""


class VerificationError(TruetapeError):
    """The values read back differ from the values written; nothing becomes final."""

    exit_code = 65


class GateClosedError(TruetapeError):
    """The data broke a rule of the gate. Nothing was published, and a retry fails again."""

    exit_code = 66


def exit_of(error: Exception) -> tuple[int, str]:
    """Return the exit code of a process that an error ends, and the reason in one line or more."""
    if isinstance(error, TruetapeError):
        return error.exit_code, str(error)
    return TruetapeError.exit_code, f"unforeseen {type(error).__name__}: {error}"


def of_exit_code(code: int) -> type[TruetapeError] | None:
    """Return the error class of a child process's exit code. None if no class has that code.

    Code 1 has no class: any unexpected exception ends a process with it.
    """
    kinds = {kind.exit_code: kind for kind in TruetapeError.__subclasses__()}
    return None if code == TruetapeError.exit_code else kinds.get(code)
