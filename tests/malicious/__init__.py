"""Programs that mean harm, by subject: whatever they try, they end cleanly, and the same way on every engine."""
