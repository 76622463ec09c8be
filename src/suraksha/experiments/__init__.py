"""Plans of many runs: execution, reports and timings."""
