"""Teaching without data: generators, statistics, synthesis."""
