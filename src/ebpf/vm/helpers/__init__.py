"""Bodies of the helper functions: one module per subject, called through `dispatch.call_helper`."""
