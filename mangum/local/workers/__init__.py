"""The function in processes of its own: `mangum dev --workers`."""
