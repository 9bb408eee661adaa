"""What commands share: errors as exit codes, options, output, logging."""
