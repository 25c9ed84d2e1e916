"""Base against head in one job on one machine: what became wrong, and what is really slower."""
