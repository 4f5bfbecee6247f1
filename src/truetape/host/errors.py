"""The whole error tree. A class exists because some `except` treats it differently.

Bad records are not errors: they are `market.rejection.Rejected`.
"""


class TruetapeError(Exception):
    """Anything truetape raises on purpose; the message says what happened, the value and the next
    move.
    """

    exit_code = 1


class ConfigError(TruetapeError):
    """Somebody must change a file, a setting or an argument; trying again is pointless."""

    exit_code = 78


class TransientError(TruetapeError):
    """A server was away or slow; the same call may succeed later and is safe to repeat."""

    exit_code = 75


class FencedError(TransientError):
    """Another producer took over a transactional id; this one can commit nothing any more."""


class LeaseLostError(TransientError):
    """Another driver holds the lease of the speed layer; this one must not write any more."""


class OutdatedPlanError(TransientError):
    """Things changed since a plan was made, and nothing was done; a new plan knows them."""


class NotThereError(TruetapeError):
    """What was asked for does not exist; a page answers 404."""


class VerificationError(TruetapeError):
    """What was read back is not what was written; nothing is announced as final."""

    exit_code = 65


class GateClosedError(TruetapeError):
    """The data broke a gate rule; nothing was published, and trying again changes nothing."""

    exit_code = 66


def of_exit_code(code: int) -> type[TruetapeError] | None:
    """Return the error that a child process of ours ended with, None for a code of no meaning.

    1 has none: whatever else goes wrong in a process ends it with that.
    """
    kinds = {kind.exit_code: kind for kind in TruetapeError.__subclasses__()}
    return None if code == TruetapeError.exit_code else kinds.get(code)
