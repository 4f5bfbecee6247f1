"""Why a bar changed between provisional and final: causes, ledger, tables, charts."""
