"""API Gateway and Lambda on your machine: `mangum dev`."""
