"""The service under faults and overload: long runs, and their short forms as tests."""
