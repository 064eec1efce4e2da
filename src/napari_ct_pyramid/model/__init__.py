"""Values and arithmetic: volumes, levels, blocks and the plan. It touches no file, and knows no threads and no Qt."""
