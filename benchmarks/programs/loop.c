/* Runs a native program many times; in a file of its own, so that no compiler sees what it is that runs.
 * The time is this thread's, so that other processes don't count. */
#include <time.h>

struct context;

unsigned long long bench_loop(unsigned long long (*program)(struct context *), struct context *context,
			      unsigned long long repeat, unsigned long long *elapsed_ns)
{
	struct timespec start, end;
	unsigned long long result = 0;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
	while (repeat--)
		result = program(context);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
	*elapsed_ns = (end.tv_sec - start.tv_sec) * 1000000000ull + end.tv_nsec - start.tv_nsec;
	return result;
}
