"""From a folder to a running stack: what the deployment commands do."""
