"""What a person is shown of one record of the journal."""


def describe(record: bytes) -> str:
    """Return a record in words, on one line."""
    return f"tag {record[0]}, {len(record):,} bytes" if record else "empty"
