"""Will a run work here? Looked at before anything is submitted: a request that no machine can meet waits in a queue for ever, without a word."""
